//! Topic patterns: words between dots, `*` for exactly one, `#` for any number.

/// A binding key of a topic exchange, compiled. An empty key has no words; `a.` has two.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern(Vec<Word>);

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Is(Box<str>),
    One,
    Any,
}

impl Pattern {
    pub(crate) fn new(key: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = start(key);
        while let Some(text) = rest {
            let (word, tail) = first(text);
            rest = tail;
            words.push(match word {
                "*" => Word::One,
                "#" => Word::Any,
                word => Word::Is(word.into()),
            });
        }
        Self(words)
    }

    /// Without a wildcard it is the one key it matches.
    pub(crate) fn is_exact(&self) -> bool {
        self.0.iter().all(|word| matches!(word, Word::Is(_)))
    }

    /// Goes back to the last `#` only, which is enough for globs; at most words × words steps.
    pub(crate) fn matches(&self, key: &str) -> bool {
        let mut at = 0;
        let mut rest = start(key);
        // Where to go on when the last `#` takes one word more.
        let mut again: Option<(usize, &str)> = None;
        loop {
            match (self.0.get(at), rest) {
                (None, None) => return true,
                (Some(Word::Any), _) => {
                    at += 1;
                    again = rest.map(|text| (at, text));
                    continue;
                }
                (Some(word), Some(text)) => {
                    let (head, tail) = first(text);
                    if matches!(word, Word::One) || matches!(word, Word::Is(is) if **is == *head) {
                        at += 1;
                        rest = tail;
                        continue;
                    }
                }
                (None, Some(_)) | (Some(_), None) => {}
            }
            let Some((after, text)) = again else {
                return false;
            };
            let (_, tail) = first(text);
            (at, rest) = (after, tail);
            again = tail.map(|tail| (after, tail));
        }
    }
}

fn start(key: &str) -> Option<&str> {
    if key.is_empty() { None } else { Some(key) }
}

fn first(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((word, tail)) => (word, Some(tail)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_by_words() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a", "."][..]),
            ("#", &["", "a", "a.b", "."], &[]),
            ("*", &["a", "ab"], &["", "a.b", "."]),
            ("a.*", &["a.b", "a."], &["a", "a.b.c", "b.a"]),
            ("a.#", &["a", "a.b", "a.b.c"], &["", "b", "ab"]),
            ("#.c", &["c", "a.c", "a.c.c"], &["a", "c.a", ""]),
            ("a.#.z", &["a.z", "a.b.z", "a.z.z"], &["a", "z", "a.b"]),
            ("*.#.*", &["a.b", "a.b.c"], &["a", ""]),
            ("#.#", &["", "a", "a.b"], &[]),
            ("#.a.#.b", &["a.b", "x.a.y.b", "a.a.b.b"], &["a", "b.a", "a.b.c"]),
        ] {
            let compiled = Pattern::new(pattern);
            for key in yes {
                assert!(compiled.matches(key), "{pattern} should match {key}");
            }
            for key in no {
                assert!(!compiled.matches(key), "{pattern} should not match {key}");
            }
        }
    }

    /// The definition, word by word, without any cleverness.
    fn reference(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", after @ ..], _) => (0..=key.len()).any(|taken| reference(after, &key[taken..])),
            (["*", after @ ..], [_, rest @ ..]) => reference(after, rest),
            ([word, after @ ..], [first, rest @ ..]) => word == first && reference(after, rest),
            _ => false,
        }
    }

    fn words(key: &str) -> Vec<&str> {
        if key.is_empty() { Vec::new() } else { key.split('.').collect() }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in "([ab]|\\*|#)?(\\.([ab]|\\*|#)?){0,6}",
            key in "[ab]?(\\.[ab]?){0,7}",
        ) {
            prop_assert_eq!(
                Pattern::new(&pattern).matches(&key),
                reference(&words(&pattern), &words(&key))
            );
        }
    }
}
