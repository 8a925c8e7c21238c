//! Running an expression on a text.

use std::collections::BTreeMap;

use super::{Found, Place, Regex, Step, class::Kind, fold};

/// Steps of one search at most: some milliseconds.
const MAX_STEPS: usize = 2_000_000;
/// Ways that are still open at most: 24 bytes each.
const MAX_WAYS: usize = 1 << 18;

type Answer<T> = Result<T, &'static str>;

/// The first match at or after a place.
pub(super) fn find(regex: &Regex, text: &[char], from: usize) -> Answer<Option<Found>> {
    let mut run = Run { regex, text, search: from, steps: 0, saved: BTreeMap::new() };
    // A text that begins the expression is looked for without running it.
    let first = match regex.program.get(1) {
        Some(Step::Char(first)) => Some(*first),
        _ => None,
    };
    for start in from..=text.len() {
        if first.is_some() && text.get(start) != first.as_ref() {
            continue;
        }
        run.saved.clear();
        let keep = |end: usize| !(regex.options.not_empty && end == start);
        if run.run(0, start, regex.options.longest, &keep)?.is_some() {
            let groups = 0..regex.names.len();
            let place = |group: usize| {
                Some((*run.saved.get(&(2 * group))?, *run.saved.get(&(2 * group + 1))?))
            };
            return Ok(Some(groups.map(place).collect()));
        }
    }
    Ok(None)
}

struct Run<'r> {
    regex: &'r Regex,
    text: &'r [char],
    search: usize,
    steps: usize,
    /// Positions by their places.
    saved: BTreeMap<usize, usize>,
}

/// What is done when a way fails.
enum Undo {
    /// Another way.
    Try(usize, usize),
    /// A position as it was.
    Restore(usize, Option<usize>),
}

impl Run<'_> {
    /// Runs from an instruction to a match whose end `keep` takes; gives that end.
    fn run(
        &mut self,
        mut pc: usize,
        mut at: usize,
        longest: bool,
        keep: &dyn Fn(usize) -> bool,
    ) -> Answer<Option<usize>> {
        let mut undo: Vec<Undo> = Vec::new();
        let mut best: Option<(usize, BTreeMap<usize, usize>)> = None;
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err("match-stack limit over");
            }
            let Some(step) = self.regex.program.get(pc) else { return Err("a step is lost") };
            let ok = match step {
                Step::Match if keep(at) && !longest => return Ok(Some(at)),
                Step::Match => {
                    if keep(at) && best.as_ref().is_none_or(|(end, _)| at > *end) {
                        best = Some((at, self.saved.clone()));
                    }
                    false
                }
                Step::Split(..) | Step::Save(_) if undo.len() >= MAX_WAYS => {
                    return Err("match-stack limit over");
                }
                Step::Split(first, second) => {
                    undo.push(Undo::Try(*second, at));
                    pc = *first;
                    continue;
                }
                Step::Jump(to) => {
                    pc = *to;
                    continue;
                }
                Step::Save(place) => {
                    undo.push(Undo::Restore(*place, self.saved.insert(*place, at)));
                    true
                }
                Step::Look { end, .. } => {
                    let end = *end;
                    if self.look(pc, at)? {
                        pc = end;
                        continue;
                    }
                    false
                }
                Step::Atomic { end } => {
                    let end = *end;
                    match self.atomic(pc, at, &mut undo)? {
                        Some(found) => {
                            (pc, at) = (end, found);
                            continue;
                        }
                        None => false,
                    }
                }
                step => {
                    let next = self.read(step, at);
                    at = next.unwrap_or(at);
                    next.is_some()
                }
            };
            if ok {
                pc += 1;
                continue;
            }
            match self.back(&mut undo) {
                Some((to, place)) => (pc, at) = (to, place),
                None => {
                    return Ok(best.map(|(end, saved)| {
                        self.saved = saved;
                        end
                    }));
                }
            }
        }
    }

    /// Runs a part whose first match counts; what it saved can be undone.
    fn atomic(&mut self, pc: usize, at: usize, undo: &mut Vec<Undo>) -> Answer<Option<usize>> {
        let before = self.saved.clone();
        let found = self.run(pc + 1, at, false, &|_| true)?;
        if found.is_some() {
            for (place, old) in before_of(&before, &self.saved) {
                undo.push(Undo::Restore(place, old));
            }
        }
        Ok(found)
    }

    /// Undoes up to the last way that is open.
    fn back(&mut self, undo: &mut Vec<Undo>) -> Option<(usize, usize)> {
        loop {
            match undo.pop()? {
                Undo::Try(pc, at) => return Some((pc, at)),
                Undo::Restore(place, Some(old)) => drop(self.saved.insert(place, old)),
                Undo::Restore(place, None) => drop(self.saved.remove(&place)),
            }
        }
    }

    /// Whether what stands before or behind a place is as it should be.
    fn look(&mut self, pc: usize, at: usize) -> Answer<bool> {
        let Some(Step::Look { ahead, negate, .. }) = self.regex.program.get(pc) else {
            return Err("a step is lost");
        };
        let before = self.saved.clone();
        let found = if *ahead {
            self.run(pc + 1, at, false, &|_| true)?.is_some()
        } else {
            let mut found = false;
            for start in (0..=at).rev() {
                if self.run(pc + 1, start, false, &|end| end == at)?.is_some() {
                    found = true;
                    break;
                }
            }
            found
        };
        if *negate || !found {
            self.saved = before;
        }
        Ok(found != *negate)
    }

    /// The place behind what an instruction reads.
    fn read(&self, step: &Step, at: usize) -> Option<usize> {
        let next = self.text.get(at).copied();
        let is = |found: bool| found.then_some(at + 1);
        match step {
            Step::Char(wanted) => is(next? == *wanted),
            Step::Folded(wanted) => is(fold(next?) == *wanted),
            Step::Any => is(next.is_some()),
            Step::NotNewline => is(next? != '\n'),
            Step::Set(set, folded) => is(set.has(next?, *folded)),
            Step::At(place) => self.is_at(*place, at).then_some(at),
            Step::Progress(place) => (self.saved.get(place) != Some(&at)).then_some(at),
            Step::Back(group, folded) => {
                let (start, end) =
                    (*self.saved.get(&(2 * group))?, *self.saved.get(&(2 * group + 1))?);
                let wanted = self.text.get(start..end)?;
                let found = self.text.get(at..at + wanted.len())?;
                let same = |(left, right): (&char, &char)| {
                    left == right || (*folded && fold(*left) == fold(*right))
                };
                wanted.iter().zip(found).all(same).then_some(at + wanted.len())
            }
            _ => None,
        }
    }

    fn is_at(&self, place: Place, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.text.get(at)).copied();
        let next = self.text.get(at).copied();
        let is_word =
            |character: Option<char>| character.is_some_and(|found| Kind::Word.has(found));
        match place {
            Place::TextStart => at == 0,
            Place::TextEnd => next.is_none(),
            Place::LastLineEnd => {
                next.is_none() || (next == Some('\n') && at + 1 == self.text.len())
            }
            Place::LineStart => before.is_none_or(|before| before == '\n'),
            Place::LineEnd => next.is_none_or(|next| next == '\n'),
            Place::WordEdge => is_word(before) != is_word(next),
            Place::NoWordEdge => is_word(before) == is_word(next),
            Place::Search => at == self.search,
        }
    }
}

/// What was saved before, of all that is saved now and is not the same.
fn before_of(
    before: &BTreeMap<usize, usize>,
    now: &BTreeMap<usize, usize>,
) -> Vec<(usize, Option<usize>)> {
    let changed = now.iter().filter(|(place, at)| before.get(place) != Some(at));
    changed.map(|(place, _)| (*place, before.get(place).copied())).collect()
}
