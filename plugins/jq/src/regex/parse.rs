//! From a pattern to its instructions.

use super::class::{Item, Kind, Set};
use super::{MAX_LENGTH, Options, Place, Step, fold};

type Parsed<T> = Result<T, &'static str>;

/// Groups within each other at most.
const MAX_NESTING: usize = 60;

/// Instructions and the groups' names.
pub(super) fn compile(pattern: &str, options: Options) -> Parsed<(Vec<Step>, Vec<Option<String>>)> {
    let mut parser = Parser {
        pattern: pattern.chars().collect(),
        at: 0,
        options,
        names: vec![None],
        loops: 0,
        nesting: 0,
        wanted: Vec::new(),
    };
    let mut program = vec![Step::Save(0)];
    program.extend(moved(parser.alternatives()?, 1));
    if parser.peek().is_some() {
        return Err("unmatched close parenthesis");
    }
    program.push(Step::Save(1));
    program.push(Step::Match);
    parser.resolve(&mut program)?;
    Ok((program, parser.names))
}

struct Parser {
    pattern: Vec<char>,
    at: usize,
    options: Options,
    names: Vec<Option<String>>,
    /// Loops that may read nothing; each has a place to keep its start.
    loops: usize,
    nesting: usize,
    /// Names that are referred to.
    wanted: Vec<String>,
}

/// Places for loops begin here: those before are for groups.
const LOOP_BASE: usize = 1 << 16;
/// References by name begin here, until the groups are all known.
const NAME_BASE: usize = 1 << 16;

impl Parser {
    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn take(&mut self, wanted: &str) -> bool {
        let mut at = self.at;
        for character in wanted.chars() {
            if self.pattern.get(at) != Some(&character) {
                return false;
            }
            at += 1;
        }
        self.at = at;
        true
    }

    fn next(&mut self) -> Parsed<char> {
        let next = self.peek().ok_or("end pattern at escape")?;
        self.at += 1;
        Ok(next)
    }

    fn until(&mut self, end: char) -> Parsed<String> {
        let mut text = String::new();
        loop {
            match self.next().map_err(|_| "a name has no end")? {
                next if next == end => return Ok(text),
                next => text.push(next),
            }
        }
    }

    /// References by name become numbers.
    fn resolve(&self, program: &mut [Step]) -> Parsed<()> {
        for step in program {
            let Step::Back(group, _) = step else { continue };
            if let Some(wanted) = group.checked_sub(NAME_BASE) {
                let name = self.wanted.get(wanted);
                let found =
                    self.names.iter().position(|known| known.is_some() && known.as_ref() == name);
                *group = found.ok_or("undefined name reference")?;
            } else if *group >= self.names.len() {
                return Err("invalid backref number/name");
            }
        }
        Ok(())
    }

    fn alternatives(&mut self) -> Parsed<Vec<Step>> {
        if self.nesting == MAX_NESTING {
            return Err("too deeply nested");
        }
        self.nesting += 1;
        let options = self.options;
        let mut program = self.sequence()?;
        while self.take("|") {
            // Each alternative is tried before those after it.
            let other = self.sequence()?;
            let mut both = vec![Step::Split(1, program.len() + 2)];
            both.extend(moved(program, 1));
            let end = both.len() + 1 + other.len();
            both.push(Step::Jump(end));
            let start = both.len();
            both.extend(moved(other, start));
            program = both;
            if program.len() > MAX_LENGTH {
                return Err("too long");
            }
        }
        self.options = options;
        self.nesting -= 1;
        Ok(program)
    }

    fn sequence(&mut self) -> Parsed<Vec<Step>> {
        let mut program = Vec::new();
        loop {
            if self.options.extended {
                self.skip_spaces();
            }
            match self.peek() {
                None | Some('|' | ')') => return Ok(program),
                _ => {}
            }
            let atom = self.atom()?;
            let repeated = self.repeated(atom)?;
            let start = program.len();
            program.extend(moved(repeated, start));
            if program.len() > MAX_LENGTH {
                return Err("too long");
            }
        }
    }

    fn skip_spaces(&mut self) {
        while let Some(next) = self.peek() {
            if next == '#' {
                while self.peek().is_some_and(|next| next != '\n') {
                    self.at += 1;
                }
            } else if next.is_whitespace() {
                self.at += 1;
            } else {
                break;
            }
        }
    }

    fn atom(&mut self) -> Parsed<Vec<Step>> {
        let step = match self.next()? {
            '.' if self.options.dot_all => Step::Any,
            '.' => Step::NotNewline,
            '^' if self.options.lines => Step::At(Place::LineStart),
            '^' => Step::At(Place::TextStart),
            '$' if self.options.lines => Step::At(Place::LineEnd),
            '$' => Step::At(Place::LastLineEnd),
            '(' => return self.group(),
            '[' => {
                let set = self.set(0)?;
                Step::Set(set, self.options.ignore_case)
            }
            '\\' => return self.escape(),
            '*' | '+' | '?' => return Err("target of repeat operator is not specified"),
            other => self.literal(other),
        };
        Ok(vec![step])
    }

    fn literal(&self, character: char) -> Step {
        if self.options.ignore_case { Step::Folded(fold(character)) } else { Step::Char(character) }
    }

    /// What follows an atom: `*`, `+?`, `{2,3}` and the like.
    fn repeated(&mut self, mut atom: Vec<Step>) -> Parsed<Vec<Step>> {
        loop {
            if self.options.extended {
                self.skip_spaces();
            }
            let counted = self.peek() == Some('{');
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.counts() {
                    Some(counts) => counts,
                    None => return Ok(atom),
                },
                _ => return Ok(atom),
            };
            if !counted {
                self.at += 1;
            }
            let lazy = self.take("?");
            let possessive = !lazy && !counted && self.take("+");
            atom = self.repeat(&atom, least, most, lazy)?;
            if possessive {
                atom = part(atom, |end| Step::Atomic { end });
            }
        }
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; anything else is text. The reader stands behind it.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let rest = self.pattern.get(self.at + 1..)?;
        let length = rest.iter().position(|next| *next == '}')?;
        let inside: String = rest.get(..length)?.iter().collect();
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number <= 1000);
        let counts = match inside.split_once(',') {
            None => number(&inside).map(|count| (count, Some(count)))?,
            Some(("", most)) => (0, Some(number(most)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        self.at += length + 2;
        Some(counts)
    }

    fn repeat(
        &mut self,
        atom: &[Step],
        least: usize,
        most: Option<usize>,
        lazy: bool,
    ) -> Parsed<Vec<Step>> {
        let split = |first, second| match lazy {
            false => Step::Split(first, second),
            true => Step::Split(second, first),
        };
        let copies = most.unwrap_or(least).max(least) + 1;
        if atom.len().saturating_mul(copies) > MAX_LENGTH {
            return Err("too long");
        }
        let mut program = Vec::new();
        for _ in 0..least {
            let start = program.len();
            program.extend(moved(atom.to_vec(), start));
        }
        match most {
            None => {
                // Ends where it reads nothing.
                let place = LOOP_BASE + self.loops;
                self.loops += 1;
                let start = program.len();
                let end = start + atom.len() + 4;
                program.push(split(start + 1, end));
                program.push(Step::Save(place));
                program.extend(moved(atom.to_vec(), start + 2));
                program.push(Step::Progress(place));
                program.push(Step::Jump(start));
            }
            Some(most) => {
                let each = atom.len() + 1;
                let end = program.len() + each * most.saturating_sub(least);
                for _ in least..most {
                    let start = program.len();
                    program.push(split(start + 1, end));
                    program.extend(moved(atom.to_vec(), start + 1));
                }
            }
        }
        Ok(program)
    }

    /// After `(`.
    fn group(&mut self) -> Parsed<Vec<Step>> {
        if !self.take("?") {
            return self.capture(None);
        }
        let looks =
            [("<=", false, false), ("<!", false, true), ("=", true, false), ("!", true, true)];
        for (sign, ahead, negate) in looks {
            if self.take(sign) {
                let inner = self.closed()?;
                return Ok(part(inner, |end| Step::Look { ahead, negate, end }));
            }
        }
        if self.take("#") {
            self.until(')')?;
            return Ok(Vec::new());
        }
        if self.take(">") {
            let inner = self.closed()?;
            return Ok(part(inner, |end| Step::Atomic { end }));
        }
        if self.take(":") {
            return self.closed();
        }
        if self.take("<") || self.take("P<") {
            let name = self.until('>')?;
            return self.capture(Some(name));
        }
        self.flags()
    }

    fn capture(&mut self, name: Option<String>) -> Parsed<Vec<Step>> {
        let group = self.names.len();
        if group >= LOOP_BASE / 2 {
            return Err("too many groups");
        }
        self.names.push(name);
        let mut program = vec![Step::Save(2 * group)];
        program.extend(moved(self.closed()?, 1));
        program.push(Step::Save(2 * group + 1));
        Ok(program)
    }

    fn closed(&mut self) -> Parsed<Vec<Step>> {
        let inner = self.alternatives()?;
        if self.take(")") { Ok(inner) } else { Err("end pattern with unmatched parenthesis") }
    }

    /// `(?i)` up to the end of the group, `(?i:…)` for what is in it.
    fn flags(&mut self) -> Parsed<Vec<Step>> {
        let (before, mut on) = (self.options, true);
        loop {
            match self.next()? {
                '-' => on = false,
                'i' => self.options.ignore_case = on,
                'x' => self.options.extended = on,
                's' => self.options.dot_all = on,
                'm' => self.options.lines = on,
                ')' => return Ok(Vec::new()),
                ':' => {
                    let inner = self.closed()?;
                    self.options = before;
                    return Ok(inner);
                }
                _ => return Err("undefined group option"),
            }
        }
    }

    /// After a backslash, outside of a set.
    fn escape(&mut self) -> Parsed<Vec<Step>> {
        let next = self.next()?;
        let step = match next {
            'b' => Step::At(Place::WordEdge),
            'B' => Step::At(Place::NoWordEdge),
            'A' => Step::At(Place::TextStart),
            'z' => Step::At(Place::TextEnd),
            'Z' => Step::At(Place::LastLineEnd),
            'G' => Step::At(Place::Search),
            'R' => {
                let mut crlf =
                    vec![Step::Split(1, 4), Step::Char('\r'), Step::Char('\n'), Step::Jump(5)];
                let ends = [
                    Item::Range('\n', '\r'),
                    Item::Range('\u{85}', '\u{85}'),
                    Item::Range('\u{2028}', '\u{2029}'),
                ];
                crlf.push(Step::Set(Set { items: ends.to_vec(), ..Set::default() }, false));
                return Ok(crlf);
            }
            'k' => {
                if !self.take("<") {
                    return Err("invalid backref number/name");
                }
                let name = self.until('>')?;
                match name.parse() {
                    Ok(group) => Step::Back(group, self.options.ignore_case),
                    Err(_) => {
                        self.wanted.push(name);
                        let place = NAME_BASE + self.wanted.len() - 1;
                        Step::Back(place, self.options.ignore_case)
                    }
                }
            }
            '1'..='9' => {
                let mut group = next.to_digit(10).unwrap_or(0) as usize;
                while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
                    group = (group * 10 + digit as usize).min(LOOP_BASE - 1);
                    self.at += 1;
                }
                Step::Back(group, self.options.ignore_case)
            }
            next => match self.kind(next)? {
                Some((kind, negate)) => Step::Set(Set::of(kind, negate), false),
                None => {
                    let character = self.character(next)?;
                    self.literal(character)
                }
            },
        };
        Ok(vec![step])
    }

    /// The kind of characters that an escape stands for.
    fn kind(&mut self, escape: char) -> Parsed<Option<(Kind, bool)>> {
        Ok(Some(match escape {
            'd' => (Kind::Digit, false),
            'D' => (Kind::Digit, true),
            'w' => (Kind::Word, false),
            'W' => (Kind::Word, true),
            's' => (Kind::Space, false),
            'S' => (Kind::Space, true),
            'h' => (Kind::Hex, false),
            'H' => (Kind::Hex, true),
            'p' | 'P' => {
                if !self.take("{") {
                    return Err("invalid character property name {p}");
                }
                let inverted = self.take("^");
                let name = self.until('}')?;
                let kind = Kind::named(&name).ok_or("invalid character property name")?;
                (kind, inverted != (escape == 'P'))
            }
            _ => return Ok(None),
        }))
    }

    /// The character that an escape stands for.
    fn character(&mut self, escape: char) -> Parsed<char> {
        Ok(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'x' if self.take("{") => {
                let digits = self.until('}')?;
                code(&digits, 16)?
            }
            'x' => self.digits(2, 16)?,
            'u' => self.digits(4, 16)?,
            '0' => self.digits(2, 8).unwrap_or('\0'),
            other if other.is_ascii_alphabetic() => return Err("undefined escape"),
            other => other,
        })
    }

    fn digits(&mut self, most: usize, base: u32) -> Parsed<char> {
        let mut digits = String::new();
        while let Some(next) = self.peek().filter(|next| next.is_digit(base)) {
            if digits.len() == most {
                break;
            }
            digits.push(next);
            self.at += 1;
        }
        code(&digits, base)
    }

    /// After `[`.
    fn set(&mut self, depth: usize) -> Parsed<Set> {
        if depth == MAX_NESTING {
            return Err("too deeply nested");
        }
        let mut set = Set { negate: self.take("^"), ..Set::default() };
        let mut first = true;
        loop {
            let end = "premature end of char-class";
            let next = self.next().map_err(|_| end)?;
            match next {
                ']' if !first => return Ok(set),
                '[' if self.take(":") => {
                    let negate = self.take("^");
                    let name = self.until(':')?;
                    let kind = Kind::named(&name).filter(|_| self.take("]"));
                    set.items.push(Item::Kind(kind.ok_or("invalid POSIX bracket type")?, negate));
                }
                '[' => {
                    let inner = self.set(depth + 1)?;
                    set.items.push(Item::Set(inner));
                }
                '&' if self.take("&") => {
                    // What follows, up to the end, is a set of its own.
                    let and = Some(Box::new(self.set(depth + 1)?));
                    let negate = std::mem::take(&mut set.negate);
                    let both = Item::Set(Set { and, ..set });
                    return Ok(Set { items: vec![both], negate, and: None });
                }
                next => self.set_item(next, &mut set)?,
            }
            first = false;
        }
    }

    fn set_item(&mut self, next: char, set: &mut Set) -> Parsed<()> {
        let from = match next {
            '\\' => {
                let escape = self.next()?;
                if let Some((kind, negate)) = self.kind(escape)? {
                    set.items.push(Item::Kind(kind, negate));
                    return Ok(());
                }
                if escape == 'b' { '\u{8}' } else { self.character(escape)? }
            }
            other => other,
        };
        let is_range = self.peek() == Some('-')
            && self.pattern.get(self.at + 1).is_some_and(|next| *next != ']');
        if !is_range {
            set.items.push(Item::Range(from, from));
            return Ok(());
        }
        self.at += 1;
        let to = match self.next()? {
            '\\' => {
                let escape = self.next()?;
                self.character(escape)?
            }
            other => other,
        };
        if to < from {
            return Err("empty range in char class");
        }
        set.items.push(Item::Range(from, to));
        Ok(())
    }
}

fn code(digits: &str, base: u32) -> Parsed<char> {
    let code = u32::from_str_radix(digits, base).ok();
    code.and_then(char::from_u32).ok_or("invalid code point value")
}

/// A part that runs by itself and ends with a match.
fn part(inner: Vec<Step>, head: impl Fn(usize) -> Step) -> Vec<Step> {
    let mut program = vec![head(inner.len() + 2)];
    program.extend(moved(inner, 1));
    program.push(Step::Match);
    program
}

/// The same instructions further on.
fn moved(program: Vec<Step>, by: usize) -> Vec<Step> {
    let step = |step| match step {
        Step::Split(first, second) => Step::Split(first + by, second + by),
        Step::Jump(to) => Step::Jump(to + by),
        Step::Look { ahead, negate, end } => Step::Look { ahead, negate, end: end + by },
        Step::Atomic { end } => Step::Atomic { end: end + by },
        step => step,
    };
    program.into_iter().map(step).collect()
}
