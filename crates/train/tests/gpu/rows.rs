//! Sums of gradients that are a row each, of many parameters at once.
use crate::{gap, gpu, numbers, twins, wide};
use engine::{
    Device, Precision, Tensor,
    op::{self, per_example as each},
};

/// Of few examples (whose sums are taken in one launch) and of many, side by side, added and alone; what lies between them stays as it is.
#[test]
fn rows_of_several_parameters() {
    let few: Vec<f32> = (0..5).map(|i| i as f32 * 0.3).collect();
    let many: Vec<f32> = (0..70).map(|i| (i % 5) as f32 * 0.3).collect();
    twins("sums of several", 2e-6, |device| {
        let all = [(5, 700, 3), (5, 1, 703), (70, 40, 710), (5, 256, 800), (5, 0, 900)];
        let weights = [&few, &many].map(|w| Tensor::new([w.len()], w.clone()).to(device));
        let mut gradients: Vec<Tensor> = all.iter().map(|(n, p, first)| numbers(&[*n, *p], *first as u64)).collect();
        // Of weight 0.
        gradients[0].data_mut()[2] = f32::NAN;
        let gradients: Vec<Tensor> = gradients.into_iter().map(|g| g.to(device)).collect();
        let items: Vec<(&Tensor, &Tensor, usize)> =
            gradients.iter().zip(all).map(|(g, (n, _, first))| (g, &weights[usize::from(n == 70)], first)).collect();
        let mut sum = numbers(&[1100], 9).to(device);
        each::rows_sums(&items, (&mut sum).into(), true);
        let mut alone = sum.clone();
        items.iter().for_each(|(g, _, first)| not_numbers(&mut alone, *first..first + g.row_len()));
        each::rows_sums(&items, (&mut alone).into(), false);
        vec![sum, alone]
    });
}

/// To the bit, in f32 and in bf16: columns that a block does not fill, and more rows than it has groups for.
#[test]
fn rows_of_several_parameters_are_added_up_as_one_by_one() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for precision in [Precision::F32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        let stored =
            |n: usize, p: usize| op::mean_pixels(&numbers(&[1, n * p, 1], p as u64).to(device)).reshape([n, p]);
        for n in [3, 64, 65, 300] {
            let weights = Tensor::new([n], (0..n).map(|i| (i % 7) as f32 * 0.4 - 0.8).collect()).to(device);
            let all: Vec<Tensor> = [1, 31, 33, 64, 300, 20_000].into_iter().map(|p| stored(n, p)).collect();
            let firsts = all.iter().scan(2, |at, g| Some(std::mem::replace(at, *at + g.row_len() + 3)));
            let items: Vec<_> = all.iter().zip(firsts).map(|(g, first)| (g, &weights, first)).collect();
            let (mut sum, mut wanted) = (numbers(&[21_000], 9).to(device), numbers(&[21_000], 9).to(device));
            each::rows_sums(&items, (&mut sum).into(), true);
            let (mut here, by) = (numbers(&[21_000], 9), weights.to_host());
            for (g, weights, first) in items {
                let columns = first..first + g.row_len();
                each::rows_sum(g, weights, wanted.part_mut(columns.clone()));
                each::rows_sum(&g.to_host(), &by, here.part_mut(columns));
            }
            assert_eq!(wide(&sum), wide(&wanted), "{n} rows, {precision:?}");
            assert!(gap(&wide(&sum), &wide(&here)) < 5e-6, "{n} rows, {precision:?}");
        }
    }
}

/// Fills a stretch with what is no number.
fn not_numbers(x: &mut Tensor, stretch: std::ops::Range<usize>) {
    let device = x.device();
    let mut there = x.to_host();
    there.data_mut()[stretch].fill(f32::NAN);
    *x = there.to(device);
}
