//! Sets of characters.

use super::fold;

/// A set of characters.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) items: Vec<Item>,
    pub(super) negate: bool,
    /// What must be in this set as well.
    pub(super) and: Option<Box<Set>>,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Range(char, char),
    Kind(Kind, bool),
    Set(Set),
}

/// A kind of characters with a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Digit,
    Word,
    Space,
    Hex,
    Alpha,
    Alnum,
    Upper,
    Lower,
    Punct,
    Cntrl,
    Graph,
    Print,
    Blank,
    Ascii,
    Number,
    Symbol,
}

impl Kind {
    /// By the name that `[:name:]` or `\p{name}` has.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace([' ', '_', '-'], "");
        Some(match name.as_str() {
            "digit" | "nd" => Self::Digit,
            "word" => Self::Word,
            "space" | "whitespace" => Self::Space,
            "xdigit" => Self::Hex,
            "alpha" | "l" | "letter" | "alphabetic" => Self::Alpha,
            "alnum" => Self::Alnum,
            "upper" | "lu" | "uppercaseletter" | "uppercase" => Self::Upper,
            "lower" | "ll" | "lowercaseletter" | "lowercase" => Self::Lower,
            "punct" | "p" | "punctuation" => Self::Punct,
            "cntrl" | "cc" | "control" => Self::Cntrl,
            "graph" => Self::Graph,
            "print" => Self::Print,
            "blank" => Self::Blank,
            "ascii" => Self::Ascii,
            "n" | "number" => Self::Number,
            "s" | "symbol" => Self::Symbol,
            _ => return None,
        })
    }

    pub(super) fn has(self, character: char) -> bool {
        match self {
            Self::Digit => character.is_ascii_digit(),
            Self::Word => character.is_alphanumeric() || character == '_',
            Self::Space => character.is_whitespace(),
            Self::Hex => character.is_ascii_hexdigit(),
            Self::Alpha => character.is_alphabetic(),
            Self::Alnum => character.is_alphanumeric(),
            Self::Upper => character.is_uppercase(),
            Self::Lower => character.is_lowercase(),
            Self::Punct => {
                character.is_ascii_punctuation()
                    || matches!(character, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
            }
            Self::Cntrl => character.is_control(),
            Self::Graph => !character.is_whitespace() && !character.is_control(),
            Self::Print => !character.is_control(),
            Self::Blank => matches!(character, ' ' | '\t'),
            Self::Ascii => character.is_ascii(),
            Self::Number => character.is_numeric(),
            Self::Symbol => {
                matches!(character, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' | '\u{a2}'..='\u{a9}' | '\u{20a0}'..='\u{20c0}')
            }
        }
    }
}

impl Set {
    pub(super) fn of(kind: Kind, negate: bool) -> Self {
        Self { items: vec![Item::Kind(kind, negate)], ..Self::default() }
    }

    /// Whether a character is in it, in any case if `folded`.
    pub(super) fn has(&self, character: char, folded: bool) -> bool {
        let found = self.plain(character)
            || (folded && (self.plain(fold(character)) || self.plain(upper(character))));
        found != self.negate && self.and.as_ref().is_none_or(|and| and.has(character, folded))
    }

    fn plain(&self, character: char) -> bool {
        self.items.iter().any(|item| match item {
            Item::Range(from, to) => (*from..=*to).contains(&character),
            Item::Kind(kind, negate) => kind.has(character) != *negate,
            Item::Set(set) => set.has(character, false),
        })
    }
}

fn upper(character: char) -> char {
    character.to_uppercase().next().unwrap_or(character)
}
