//! Allocator: for plugins that make and drop many small values for each message.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Sizes above this, bytes, go to the system's allocator.
const MAX: usize = 4096;
/// Sizes and alignments are multiples of this.
const STEP: usize = 16;
/// Multiples of [`STEP`] up to 128, then four sizes for each doubling up to [`MAX`].
const CLASSES: usize = 8 + 4 * 5;
/// What is taken from the system's allocator at once.
const CHUNK: usize = 64 << 10;

/// A global allocator for a plugin: free lists by size for what is small, the system's allocator
/// for the rest. To use it:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: lockgate_plugin::Allocator = lockgate_plugin::Allocator::new();
/// ```
///
/// Taking and giving back a small block is a few instructions; with the target's own allocator a
/// third of the time of the `transform` plugin went into it. In exchange a small block only ever
/// serves its size again. The host makes a sandbox anew whose memory has grown too much.
///
/// On other targets than Wasm, as in native tests, it is the system's allocator.
pub struct Allocator(UnsafeCell<Lists>);

struct Lists {
    /// By class, blocks that were given back, each pointing to the next.
    free: [*mut Block; CLASSES],
    /// The rest of the last chunk.
    rest: *mut u8,
    left: usize,
}

struct Block {
    next: *mut Block,
}

// SAFETY: used as it is only where there are no threads; elsewhere the lists are not touched.
unsafe impl Sync for Allocator {}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Allocator {
    /// An allocator that holds nothing yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Lists { free: [null_mut(); CLASSES], rest: null_mut(), left: 0 }))
    }
}

/// Whether the lists may be used: without threads they have one user.
const USED: bool = cfg!(all(target_arch = "wasm32", not(target_feature = "atomics")));

/// The class of a layout; `None` for what the system's allocator gets.
#[inline(always)]
const fn class(layout: Layout) -> Option<usize> {
    let size = layout.size();
    if !USED || size > MAX || layout.align() > STEP {
        return None;
    }
    Some(class_of(size))
}

#[inline(always)]
const fn class_of(size: usize) -> usize {
    if size <= 8 * STEP {
        return size.saturating_sub(1) / STEP;
    }
    // For 128 < size <= 256 the doubling is 0, and so on; within it four steps of 32, 64 …
    let doubling = (size - 1).ilog2() as usize - 7;
    let step = ((size - 1) >> (doubling + 5)) - 4;
    8 + 4 * doubling + step
}

/// The bytes that each block of a class has.
const fn size_of_class(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * STEP;
    }
    let (doubling, step) = ((class - 8) / 4, (class - 8) % 4);
    (5 + step) << (doubling + 5)
}

impl Lists {
    #[inline(always)]
    fn take(&mut self, class: usize) -> *mut u8 {
        let Some(head) = self.free.get_mut(class) else { return null_mut() };
        let block = *head;
        if block.is_null() {
            return self.cut(size_of_class(class));
        }
        // SAFETY: a block in a list is ours, and holds the pointer that `give` wrote.
        *head = unsafe { (*block).next };
        block.cast()
    }

    #[inline(always)]
    fn give(&mut self, class: usize, block: *mut u8) {
        let Some(head) = self.free.get_mut(class) else { return };
        let block = block.cast::<Block>();
        // SAFETY: the caller owns the block, which is of 16 bytes or more and as aligned, and
        // gives it up.
        unsafe { (*block).next = *head };
        *head = block;
    }

    /// A new block of a class.
    #[inline(never)]
    fn cut(&mut self, size: usize) -> *mut u8 {
        if self.left < size {
            let Ok(layout) = Layout::from_size_align(CHUNK, STEP) else { return null_mut() };
            // SAFETY: the layout is not empty.
            let chunk = unsafe { System.alloc(layout) };
            if chunk.is_null() {
                return chunk;
            }
            // What is left of the last chunk is less than a page, and lost.
            (self.rest, self.left) = (chunk, CHUNK);
        }
        let block = self.rest;
        self.left -= size;
        // SAFETY: `size` more bytes of the chunk are there.
        self.rest = unsafe { block.add(size) };
        block
    }
}

// SAFETY: blocks are of the class's size, which is no less than the layout's, and aligned to
// `STEP`; a block is in a list or in use, never both. Everything else is the system's.
unsafe impl GlobalAlloc for Allocator {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(layout) {
            // SAFETY: there are no threads, and no call in here leads back to here.
            Some(class) => unsafe { (*self.0.get()).take(class) },
            // SAFETY: as the caller of this.
            None => unsafe { System.alloc(layout) },
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            // SAFETY: as in `alloc`; the caller got the block for a layout of this class.
            Some(class) => unsafe { (*self.0.get()).give(class, block) },
            // SAFETY: as the caller of this.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up to the alignment, is in range.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: as the caller of this.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: both blocks are of the lesser size at least, and different.
            _ => unsafe {
                let new = self.alloc(wanted);
                if !new.is_null() {
                    new.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                new
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_is_sorted_into_it() {
        for size in 0..=MAX {
            let class = class_of(size);
            assert!(size <= size_of_class(class), "{size}");
            assert!(class == 0 || size > size_of_class(class - 1), "{size}");
        }
        assert_eq!(class_of(MAX), CLASSES - 1);
        assert_eq!(size_of_class(CLASSES - 1), MAX);
        assert!((0..CLASSES).all(|class| size_of_class(class).is_multiple_of(STEP)));
    }

    /// Blocks of random classes, taken and given back at random, never overlap.
    #[test]
    fn blocks_in_use_are_disjoint() {
        let mut lists = Allocator::new().0.into_inner();
        let mut used: Vec<(usize, usize)> = Vec::new();
        let mut dice = 1u64;
        for _ in 0..20_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let roll = (dice >> 33) as usize;
            if used.len() > 100 || (roll.is_multiple_of(3) && !used.is_empty()) {
                let (block, class) = used.swap_remove(roll % used.len());
                lists.give(class, block as *mut u8);
                continue;
            }
            let class = roll % CLASSES;
            let block = lists.take(class) as usize;
            assert!(block != 0 && block.is_multiple_of(STEP));
            let end = |(block, class): (usize, usize)| block + size_of_class(class);
            let overlap = used.iter().find(|one| block < end(**one) && one.0 < end((block, class)));
            assert_eq!(overlap, None);
            used.push((block, class));
        }
    }
}
