//! Reads: the parts of a message that an expression looks at.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_plugin::{Body, Headers, Needs, Property};

use crate::paths::{NOWHERE, Paths, Step};

/// The properties by the names that they have in expressions.
pub(crate) const PROPERTIES: [(&str, Property); 13] = [
    ("content_type", Property::ContentType),
    ("content_encoding", Property::ContentEncoding),
    ("delivery_mode", Property::DeliveryMode),
    ("priority", Property::Priority),
    ("correlation_id", Property::CorrelationId),
    ("reply_to", Property::ReplyTo),
    ("expiration", Property::Expiration),
    ("message_id", Property::MessageId),
    ("timestamp", Property::Timestamp),
    ("type", Property::Type),
    ("user_id", Property::UserId),
    ("app_id", Property::AppId),
    ("cluster_id", Property::ClusterId),
];

pub(crate) fn property(name: &str) -> Option<Property> {
    PROPERTIES.iter().find(|(known, _)| *known == name).map(|&(_, property)| property)
}

/// What an expression reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// `None`: nothing of the body's JSON.
    pub(crate) body: Option<Filter>,
    pub(crate) body_text: bool,
    pub(crate) headers: HeaderReads,
    /// A property that is a short string.
    pub(crate) text_properties: bool,
    pub(crate) properties: bool,
    pub(crate) exchange: bool,
    pub(crate) routing_key: bool,
    pub(crate) redelivered: bool,
    pub(crate) attempt: bool,
}

/// Which headers.
#[derive(Clone, Debug, Default)]
pub(crate) enum HeaderReads {
    #[default]
    None,
    Names(BTreeSet<String>),
    All,
}

/// Which parts of a JSON value: all of it, or some keys of an object, each with its node in the
/// tree of paths.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    All,
    Keys(BTreeMap<String, (u16, Filter)>),
}

impl Filter {
    fn add(&mut self, steps: &[Step]) {
        let Self::Keys(keys) = self else { return };
        match steps {
            [Step::Key(key), rest @ ..] => {
                let none = || (NOWHERE, Self::Keys(BTreeMap::new()));
                keys.entry(key.clone()).or_insert_with(none).1.add(rest);
            }
            // An element keeps its number only among all the others.
            _ => *self = Self::All,
        }
    }

    /// Finds the node of each key below `path`; where there can be none, all is read.
    fn locate(&mut self, path: &mut Vec<Step>, paths: &mut Paths) {
        let Self::Keys(keys) = self else { return };
        let mut found = true;
        for (key, (node, inner)) in keys {
            path.push(Step::Key(key.clone()));
            *node = paths.intern(path).unwrap_or(NOWHERE);
            found &= *node != NOWHERE;
            inner.locate(path, paths);
            path.pop();
        }
        if !found {
            *self = Self::All;
        }
    }
}

impl Reads {
    pub(crate) fn read_body(&mut self, steps: &[Step]) {
        self.body.get_or_insert_with(|| Filter::Keys(BTreeMap::new())).add(steps);
    }

    pub(crate) fn read_header(&mut self, name: &str) {
        match &mut self.headers {
            HeaderReads::None => {
                self.headers = HeaderReads::Names(BTreeSet::from([name.to_owned()]));
            }
            HeaderReads::Names(names) => drop(names.insert(name.to_owned())),
            HeaderReads::All => {}
        }
    }

    /// Makes sure that the pass over the body finds what is read of it.
    pub(crate) fn locate(&mut self, paths: &mut Paths) {
        if let Some(filter) = &mut self.body {
            filter.locate(&mut Vec::new(), paths);
        }
    }

    /// Adds what these reads need to `needs`.
    pub(crate) fn add_to(&self, needs: &mut Needs) {
        needs.origin |= self.exchange || self.routing_key;
        needs.properties |= self.text_properties;
        if self.body.is_some() || self.body_text {
            needs.body = Body::All;
        }
        match (&self.headers, &mut needs.headers) {
            (HeaderReads::None, _) | (_, Headers::All) => {}
            (HeaderReads::All, headers) => *headers = Headers::All,
            (HeaderReads::Names(names), Headers::Names(known)) => {
                known.extend(names.iter().cloned());
                known.sort_unstable();
                known.dedup();
            }
            (HeaderReads::Names(names), headers @ Headers::None) => {
                *headers = Headers::Names(names.iter().cloned().collect());
            }
        }
    }
}
