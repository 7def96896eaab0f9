//! Pieces of a draw, looked at side by side.
//!
//! A chunk is what is held in memory at once; its pieces are what a thread looks at by itself, with activations that stay in
//! its cache. Threads then meet once a chunk and not in every loop of every layer, which is what short steps cost.
//!
//! Sizes, and the order in which pieces are merged (two neighbours, then two pairs, ...), do not depend on threads.
use privacy::Secret;

/// What `see` makes of all pieces, merged; none where there is none. `together` pieces, a chunk, are held at once.
pub(crate) fn merged<T: Send>(
    pieces: impl IntoIterator<Item = Secret<Vec<usize>>>,
    together: usize,
    see: &(impl Fn(Secret<Vec<usize>>) -> T + Sync),
    merge: &(impl Fn(T, T) -> T + Sync),
) -> Option<T> {
    let mut pieces = pieces.into_iter();
    let chunks = std::iter::from_fn(|| {
        let chunk: Vec<_> = pieces.by_ref().take(together).collect();
        pair_up(chunk, see, merge)
    });
    chunks.reduce(merge)
}

fn pair_up<T: Send>(
    mut pieces: Vec<Secret<Vec<usize>>>,
    see: &(impl Fn(Secret<Vec<usize>>) -> T + Sync),
    merge: &(impl Fn(T, T) -> T + Sync),
) -> Option<T> {
    if pieces.len() < 2 {
        return pieces.pop().map(see);
    }
    let right = pieces.split_off(pieces.len().next_power_of_two() / 2);
    match rayon::join(|| pair_up(pieces, see, merge), || pair_up(right, see, merge)) {
        (Some(left), Some(right)) => Some(merge(left, right)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privacy::{Key, Ledger, Neighbouring, Poisson, Sampler};

    /// How the pieces of a draw of `n` are merged, in brackets.
    fn order(n: usize, sizes: (usize, usize), threads: usize) -> Option<String> {
        let draw = Poisson::new(n, 1.0, Key::from_seed(1)).unwrap().draw(0);
        let see = |who: Secret<Vec<usize>>| who.map(|who| format!("{}..{}", who[0], who[who.len() - 1] + 1));
        let merge = |a: Secret<String>, b: Secret<String>| a.join(b).map(|(a, b)| format!("({a} {b})"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = pool.install(|| merged(draw.chunks(sizes.1), sizes.0 / sizes.1, &see, &merge));
        all.map(|all| all.reveal(&mut Ledger::new(Neighbouring::AddRemove), "test").unwrap().into_inner())
    }

    #[test]
    fn everybody_is_seen_once_and_in_one_order() {
        for threads in [1, 2, 8] {
            let is = |n, sizes, want: &str| assert_eq!(order(n, sizes, threads).as_deref(), Some(want));
            is(8, (8, 2), "((0..2 2..4) (4..6 6..8))");
            is(6, (8, 2), "((0..2 2..4) 4..6)");
            is(9, (4, 2), "(((0..2 2..4) (4..6 6..8)) 8..9)");
            is(7, (3, 3), "((0..3 3..6) 6..7)");
            is(1, (8, 2), "0..1");
            assert_eq!(order(0, (8, 2), threads), None);
        }
    }
}
