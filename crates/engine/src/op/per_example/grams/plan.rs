//! How four blocks share the Gram matrices of 512 rows.
//!
//! Eight strips of 64 rows have 36 products with each other and themselves, which are nine for each block and three for each of its warpgroups. A
//! warpgroup multiplies one strip with three others that lie one after the other in shared memory. A strip is copied at once to all blocks that have
//! it in the same place, and a block needs seven at most, so that there is room for four stages.
//!
//! Found by hand. Of strips 0 to 3 (block 0) and 4 to 7 (block 1) three make a ring, in which each is multiplied with itself, the next, and the fourth,
//! whose product with itself is left over (1, 7). What is left between the halves falls into two parts, each of which has one of these two
//! (blocks 2 and 3).

/// Blocks, and the warpgroups of each that multiply.
const BLOCKS: usize = 4;
const GROUPS: usize = 3;
/// Copies that a block asks for, at most.
const MOST: usize = 4;

/// Strips that a stage has places for.
const PLACES: usize = 7;

/// By block and warpgroup: the places of its left factor and of the first of its three columns.
const SHARES: [[[usize; 2]; GROUPS]; BLOCKS] =
    [[[0, 0], [1, 1], [3, 2]], [[2, 2], [3, 3], [5, 4]], [[5, 0], [6, 3], [2, 2]], [[4, 2], [0, 4], [1, 4]]];

/// A strip, the place in a stage that it is copied to, and the blocks.
type Copy = (usize, usize, &'static [usize]);

/// By block that asks for them. In order of places, block 0 has strips 2 3 1 0 2, block 1 from the third place on 5 4 7 6 5, block 2 has 2 3 1 5
/// 6 4 0, and block 3 has 2 3 1 0 7 6 5.
const COPIES: [&[Copy]; BLOCKS] = [
    &[(2, 0, &[0, 2, 3]), (0, 3, &[0, 3]), (2, 4, &[0]), (5, 3, &[2])],
    &[(3, 1, &[0, 2, 3]), (5, 2, &[1]), (4, 3, &[1]), (6, 4, &[2])],
    &[(1, 2, &[0, 2, 3]), (4, 5, &[2]), (0, 6, &[2])],
    &[(7, 4, &[1, 3]), (6, 5, &[1, 3]), (5, 6, &[1, 3])],
];

/// What lies in each place of a stage of each block.
fn places() -> [[Option<usize>; PLACES]; BLOCKS] {
    let mut places = [[None; PLACES]; BLOCKS];
    for (strip, place, blocks) in COPIES.into_iter().flatten() {
        blocks.iter().for_each(|block| places[*block][*place] = Some(*strip));
    }
    places
}

/// The plan as the kernel reads it (`Plan` of `grams.cu`).
pub(super) fn words() -> Vec<u64> {
    let (places, mut words) = (places(), Vec::new());
    for (block, shares) in SHARES.iter().enumerate() {
        for [left, columns] in shares {
            let diagonal = (0..3).filter(|k| places[block][*left] == places[block][columns + k]);
            words.push(left | columns << 8 | diagonal.map(|k| 1 << k).sum::<usize>() << 16);
        }
    }
    for copies in COPIES {
        let copies = copies.iter().map(|(strip, place, blocks)| {
            strip | place << 8 | blocks.iter().map(|block| 1 << block).sum::<usize>() << 16
        });
        words.extend(copies.chain(std::iter::repeat(0)).take(MOST));
    }
    words.extend(places.map(|places| places.iter().flatten().count()));
    words.chunks(2).map(|pair| pair[0] as u64 | (pair[1] as u64) << 32).collect()
}

#[cfg(test)]
mod tests {
    use super::{COPIES, MOST, SHARES, places, words};

    /// Strips of an example.
    const STRIPS: usize = 8;

    /// Every product of two strips is made once, by whoever has both, and nothing is copied over something else.
    #[test]
    fn every_product_is_made_once() {
        let places = places();
        let copied: usize = COPIES.into_iter().flatten().map(|copy| copy.2.len()).sum();
        assert_eq!(places.iter().flatten().flatten().count(), copied, "two strips in one place");
        let mut made = [[0; STRIPS]; STRIPS];
        for (shares, places) in SHARES.iter().zip(places) {
            for [left, columns] in shares {
                let [left, columns] = [places[*left..].iter().take(1), places[*columns..].iter().take(3)]
                    .map(|strips| strips.map(|strip| strip.expect("a strip that is copied")).collect::<Vec<_>>());
                assert_eq!(columns.len(), 3);
                columns.iter().for_each(|column| made[left[0].max(*column)][left[0].min(*column)] += 1);
            }
        }
        for (row, made) in made.iter().enumerate() {
            made.iter()
                .enumerate()
                .for_each(|(column, made)| assert_eq!(*made, i32::from(column <= row), "{row}, {column}"));
        }
        assert!(COPIES.iter().all(|copies| copies.len() <= MOST) && words().len() == 16);
    }
}
