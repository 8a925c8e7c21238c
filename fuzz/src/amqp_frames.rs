//! A broker sends any bytes, cut anywhere: the frame guard takes the same deliveries out and lets
//! the same bytes through as when they come in one piece, and ends with the same error.

use lockgate_transport_amqp::fuzzing::{Read, read};

/// Bytes in front of the stream that say where it is cut.
const CUTS: usize = 4;

pub fn run(data: &[u8]) {
    let Some((cuts, stream)) = data.split_first_chunk::<CUTS>() else { return };
    let whole = read(stream, std::iter::empty());
    let cut = read(stream, sizes(u32::from_be_bytes(*cuts)));
    same(&whole, &cut);
    // Every byte by itself, where that does not take long.
    if stream.len() <= 512 {
        same(&whole, &read(stream, std::iter::repeat(1)));
    }
}

fn same(whole: &Read, cut: &Read) {
    assert_eq!(format!("{:?}", whole.taken), format!("{:?}", cut.taken));
    assert_eq!(whole.error, cut.error);
    if whole.error.is_none() {
        assert_eq!((&whole.out, whole.used), (&cut.out, cut.used));
    } else {
        // What came before the error may have gone out already.
        assert!(cut.out.starts_with(&whole.out));
    }
}

/// Sizes of pieces: some short, some long.
fn sizes(seed: u32) -> impl Iterator<Item = usize> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = (state >> 16) as usize;
        if state & 0x100 == 0 { size % 8 } else { size % 300 }
    })
}
