//! Values: what jq programs calculate with.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::map::Map;
use crate::number::Num;

/// A JSON value. Cloning one copies at most a pointer.
#[derive(Clone, Debug, Default)]
pub enum Val {
    /// Null.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Num(Num),
    /// A string.
    Str(Rc<str>),
    /// An array.
    Arr(Rc<Vec<Val>>),
    /// An object, its keys in the order in which they came.
    Obj(Rc<Map>),
}

impl Val {
    /// The name of its type, as jq's `type` gives it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }

    /// False and null are false, all else is true.
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number as a double.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Num(number) => Some(number.as_f64()),
            _ => None,
        }
    }

    /// Values of different types have jq's order: null, false, true, numbers, strings, arrays,
    /// objects.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Num(_) => 3,
            Self::Str(_) => 4,
            Self::Arr(_) => 5,
            Self::Obj(_) => 6,
        }
    }
}

/// jq's order of values, as sorting needs it: of two NaN none is less.
impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Num(left), Self::Num(right)) => left.cmp(right),
            (Self::Str(left), Self::Str(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Self::Arr(left), Self::Arr(right)) => left.cmp(right),
            // Objects compare by their sorted keys first, then by the values in that order.
            (Self::Obj(left), Self::Obj(right)) => {
                let (left, right) = (left.sorted(), right.sorted());
                let keys = |entries: &[(Rc<str>, Val)], other: &[(Rc<str>, Val)]| {
                    entries.iter().map(|(key, _)| key).cmp(other.iter().map(|(key, _)| key))
                };
                keys(&left, &right).then_with(|| {
                    left.iter().map(|(_, value)| value).cmp(right.iter().map(|(_, value)| value))
                })
            }
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Num(left), Self::Num(right)) => left.equals(right),
            (Self::Str(left), Self::Str(right)) => left == right,
            (Self::Arr(left), Self::Arr(right)) => left == right,
            (Self::Obj(left), Self::Obj(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(key, value)| right.get(key) == Some(value))
            }
            _ => false,
        }
    }
}

impl Eq for Val {}

impl From<bool> for Val {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<f64> for Val {
    fn from(number: f64) -> Self {
        Self::Num(Num::from(number))
    }
}

impl From<i64> for Val {
    fn from(number: i64) -> Self {
        Self::Num(Num::from(number))
    }
}

impl From<usize> for Val {
    fn from(number: usize) -> Self {
        Self::Num(Num::from(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Val {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<Vec<Val>> for Val {
    fn from(elements: Vec<Val>) -> Self {
        Self::Arr(Rc::new(elements))
    }
}

impl From<Map> for Val {
    fn from(members: Map) -> Self {
        Self::Obj(Rc::new(members))
    }
}

impl FromIterator<Val> for Val {
    fn from_iter<I: IntoIterator<Item = Val>>(elements: I) -> Self {
        Self::from(elements.into_iter().collect::<Vec<_>>())
    }
}

impl FromIterator<(Rc<str>, Val)> for Val {
    fn from_iter<I: IntoIterator<Item = (Rc<str>, Val)>>(members: I) -> Self {
        let mut map = Map::default();
        for (key, value) in members {
            map.insert(key, value);
        }
        Self::from(map)
    }
}
