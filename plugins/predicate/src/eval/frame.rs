//! Frame: one message while predicates look at it. The body is read when the first of them asks.

use std::cell::OnceCell;
use std::sync::Arc;

use cel::Env;
use lockgate_plugin::{Message, Property};

use super::value::Value;
use crate::json::{Kind, Slot, scan};
use crate::paths::Paths;

/// Nodes of the tree of paths that take no allocation.
const INLINE: usize = 16;

pub(crate) struct Frame<'a> {
    pub(crate) message: Message<'a>,
    paths: &'a Paths,
    env: &'a OnceCell<Arc<Env>>,
    text: OnceCell<Option<&'a str>>,
    slots: OnceCell<Slots>,
}

enum Slots {
    Inline([Slot; INLINE]),
    Many(Vec<Slot>),
}

impl Slots {
    fn all(&self) -> &[Slot] {
        match self {
            Self::Inline(slots) => slots,
            Self::Many(slots) => slots,
        }
    }

    fn all_mut(&mut self) -> &mut [Slot] {
        match self {
            Self::Inline(slots) => slots,
            Self::Many(slots) => slots,
        }
    }
}

impl<'a> Frame<'a> {
    pub(crate) fn new(message: Message<'a>, paths: &'a Paths, env: &'a OnceCell<Arc<Env>>) -> Self {
        Self { message, paths, env, text: OnceCell::new(), slots: OnceCell::new() }
    }

    /// The interpreter's functions, made when a message first needs the interpreter.
    pub(crate) fn env(&self) -> Arc<Env> {
        Arc::clone(self.env.get_or_init(crate::interpret::environment))
    }

    /// The body, if it is UTF-8, without the byte-order mark that some writers put before it.
    pub(super) fn text(&self) -> Option<&'a str> {
        *self.text.get_or_init(|| {
            let text = str::from_utf8(self.message.body()).ok()?;
            Some(text.strip_prefix('\u{feff}').unwrap_or(text))
        })
    }

    /// The text that slots point into.
    pub(crate) fn json(&self) -> &'a str {
        self.text().unwrap_or_default()
    }

    pub(crate) fn body_text(&self) -> Option<&'a str> {
        self.text()
    }

    /// What stands at a node of the tree of paths. A body that is no JSON reads as `null`.
    #[inline]
    pub(crate) fn slot(&self, node: u16) -> Slot {
        let slots = self.slots.get_or_init(|| self.read_body()).all();
        slots.get(usize::from(node)).copied().unwrap_or_default()
    }

    fn read_body(&self) -> Slots {
        let count = self.paths.len();
        let blank = || match count {
            0..=INLINE => Slots::Inline([Slot::default(); INLINE]),
            _ => Slots::Many(vec![Slot::default(); count]),
        };
        let mut slots = blank();
        let read = self.text().is_some_and(|text| scan(text, self.paths, slots.all_mut()));
        if !read {
            slots = blank();
            if let Some(body) = slots.all_mut().first_mut() {
                body.kind = Kind::Null;
            }
        }
        slots
    }

    pub(crate) fn property(&self, property: Property) -> Option<Value<'a>> {
        let number = |number: u8| Value::Int(number.into());
        match property {
            Property::DeliveryMode => self.message.delivery_mode().map(number),
            Property::Priority => self.message.priority().map(number),
            Property::Timestamp => self.message.timestamp().map(Value::of_u64),
            text => self.message.property(text).map(|text| Value::Str(text.into())),
        }
    }
}
