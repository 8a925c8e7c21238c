//! Functions of paths.

use super::{Entry, arg};
use crate::error::error;
use crate::ops;
use crate::value::Val;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("setpath", 2, |_, input, args| {
        let Val::Arr(path) = arg(args, 0) else {
            return error("Path must be specified as an array");
        };
        let mut root = input.clone();
        ops::change_at(&mut root, path, &mut |place| {
            *place = arg(args, 1).clone();
            Ok(())
        })?;
        Ok(root)
    }),
    ("delpaths", 1, |_, input, args| {
        let mut root = input.clone();
        ops::delete(&mut root, arg(args, 0))?;
        Ok(root)
    }),
];
