//! Env: what is bound around an expression while it runs.

use std::rc::Rc;

use crate::node::Node;
use crate::value::Val;

/// Bindings, the innermost first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env<'p>(Option<Rc<Frame<'p>>>);

#[derive(Debug)]
struct Frame<'p> {
    bound: Bound<'p>,
    outer: Env<'p>,
}

#[derive(Clone, Debug)]
pub(crate) enum Bound<'p> {
    Value(Val),
    /// What a caller passed, with the caller's bindings.
    Query(&'p Node, Env<'p>),
    Label(u64),
}

impl<'p> Env<'p> {
    pub(crate) fn bind(&self, bound: Bound<'p>) -> Self {
        Self(Some(Rc::new(Frame { bound, outer: self.clone() })))
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Bound<'p>> {
        self.frame(place).map(|frame| &frame.bound)
    }

    /// The bindings that are so many further out.
    pub(crate) fn outward(&self, places: usize) -> Self {
        match places.checked_sub(1) {
            None => self.clone(),
            Some(place) => self.frame(place).map(|frame| frame.outer.clone()).unwrap_or_default(),
        }
    }

    fn frame(&self, place: usize) -> Option<&Frame<'p>> {
        let mut frame = self.0.as_deref();
        for _ in 0..place {
            frame = frame?.outer.0.as_deref();
        }
        frame
    }
}

/// One by one, for a long chain would take as much stack.
impl Drop for Env<'_> {
    fn drop(&mut self) {
        let (mut next, mut others) = (self.0.take(), Vec::new());
        while let Some(frame) = next.take().or_else(|| others.pop()) {
            let Some(Frame { bound, mut outer }) = Rc::into_inner(frame) else { continue };
            next = outer.0.take();
            if let Bound::Query(_, mut caller) = bound {
                others.extend(caller.0.take());
            }
        }
    }
}
