//! Operations, one by one.
use crate::{gap, gpu, numbers, twins, wide};
use engine::{
    Device, Tensor, Window,
    op::{
        self, Approximation, Attention, Cipher, Present, Table,
        per_example::{self as each, Left},
    },
};
use privacy::{Key, Purpose};

pub(crate) const WINDOWS: [Window; 4] = [
    Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0] },
    Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1] },
    Window { kernel: [4, 3], stride: [2, 3], padding: [2, 1] },
    Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
];

pub(crate) fn squares(norms: Vec<f64>) -> Tensor {
    Tensor::new([norms.len()], norms.into_iter().map(|n| n as f32).collect())
}

#[test]
fn elementwise() {
    let odd = [3, 7, 11];
    type Work = fn(Tensor, Tensor) -> Vec<Tensor>;
    let one: [(&str, Work); 7] = [
        ("relu", |x, dy| {
            let y = op::relu(x);
            vec![op::relu_backward(&y, dy), y]
        }),
        ("tanh", |x, dy| {
            let y = op::tanh(x);
            vec![op::tanh_backward(&y, dy), y]
        }),
        ("gelu", |x, dy| vec![op::gelu(&x, Approximation::Erf), op::gelu_backward(&x, dy, Approximation::Erf)]),
        ("gelu tanh", |x, dy| vec![op::gelu(&x, Approximation::Tanh), op::gelu_backward(&x, dy, Approximation::Tanh)]),
        ("silu", |x, dy| vec![op::silu(&x), op::silu_backward(&x, dy)]),
        ("add", |x, dy| vec![op::add(x, &dy)]),
        ("multiply", |x, dy| vec![op::multiply(x, &dy, 1.25)]),
    ];
    for (name, work) in one {
        twins(name, 1e-6, |device| {
            let mut x = numbers(&odd, 1);
            x.data_mut()[5] = f32::NAN;
            x.data_mut()[6] = 1e30;
            x.data_mut()[7] = -1e30;
            work(x.to(device), numbers(&odd, 2).to(device))
        });
    }
    for form in [Approximation::Erf, Approximation::Tanh] {
        for shape in [[3, 130, 40], [2, 7, 11]] {
            twins("gelu with sums", 3e-6, |device| {
                let (x, dy) = (numbers(&shape, 1).to(device), numbers(&shape, 2).to(device));
                let (dx, sums) = op::gelu_backward_sums(&x, dy, form);
                let sums = sums.unwrap_or_else(|| op::bias_rows_last(&dx));
                vec![dx, sums]
            });
        }
    }
}

#[test]
fn passes_over_rows_and_flat_numbers() {
    twins("rows", 1e-6, |device| {
        let x = numbers(&[4, 3, 5], 1).to(device);
        vec![op::add_to_each(x.clone(), &numbers(&[20], 3).to(device)), op::pad_rows(&x.reshape([4, 15]), 6)]
    });
    twins("flat", 2e-6, |device| {
        let [mut a, b, v] = [1, 2, 3].map(|seed| numbers(&[20_003], seed).to(device));
        op::add_scaled(&mut a, &b, 0.37);
        op::scale(&mut a, 1.0 / 3.0);
        op::blend(&mut a, &b, 0.9, 0.1);
        let mut square = v.clone();
        op::blend_square(&mut square, &b, 0.0, 0.5);
        let step = op::adam_step(b.clone(), &a, &square, 0.1, 1.5, 1e-8);
        let mut walked = v.clone();
        op::walk(&mut walked, (&step).into(), 1.0);
        let mut several =
            [numbers(&[7], 5).to(device), Tensor::zeros_on(device, [0]), v.clone(), numbers(&[4099], 6).to(device)];
        let long = numbers(&[several.iter().map(Tensor::len).sum()], 7).to(device);
        op::walk_all(&mut several, &long, -0.37, None);
        // A term beside the step, where the device has it in the same pass.
        let plus = numbers(long.shape(), 8).to(device);
        match device {
            Device::Cpu => {
                let mut both = long.clone();
                op::add_scaled(&mut both, &plus, 0.7);
                op::walk_all(&mut several, &both, 1.3, None);
            }
            Device::Cuda(_) => op::walk_all(&mut several, &long, 1.3, Some((&plus, 0.7))),
        }
        let [x, _, y, z] = several;
        vec![x, y, z, squares(vec![op::square(&a)]), a, step, walked, op::finite(&v, 19_000)]
    });
}

#[test]
fn clones_do_not_change_with_their_originals() {
    let Some(turn) = gpu() else { return };
    let x = numbers(&[100], 1);
    let there = x.clone().to(Device::Cuda(turn.gpu));
    let (kept, mut changed) = (there.clone(), op::relu(there.clone()));
    op::scale(&mut changed, 3.0);
    assert_eq!(there.to_host().data(), x.data());
    assert_eq!(kept.to_host().data(), x.data());
}

#[test]
fn products_and_convolutions() {
    twins("linear", 3e-6, |device| {
        let [x, w, b, dy] =
            [numbers(&[6, 5, 33], 1), numbers(&[21, 33], 2), numbers(&[21], 3), numbers(&[6, 5, 21], 4)]
                .map(|t| t.to(device));
        vec![
            op::linear(&x, &w, Some(&b)),
            op::linear(&x, &w, None),
            op::linear_backward(&dy, &w),
            op::linear_onto(&x, &w, Some(&b), &dy),
        ]
    });
    for window in WINDOWS {
        twins(&format!("conv2d {window:?}"), 3e-6, |device| {
            let (oh, ow) = window.output(11, 10).unwrap();
            let [kh, kw] = window.kernel;
            let [x, w, b, dy] = [
                numbers(&[5, 4, 11, 10], 1),
                numbers(&[6, 4, kh, kw], 2),
                numbers(&[6], 3),
                numbers(&[5, 6, oh, ow], 4),
            ]
            .map(|t| t.to(device));
            vec![op::conv2d(&x, &w, Some(&b), window), op::conv2d_backward(&dy, &w, &[5, 4, 11, 10], window)]
        });
    }
}

#[test]
fn pools_and_means() {
    for window in WINDOWS {
        twins(&format!("pools {window:?}"), 1e-6, |device| {
            let (oh, ow) = window.output(9, 8).unwrap();
            let (x, dy) = (numbers(&[3, 2, 9, 8], 1).to(device), numbers(&[3, 2, oh, ow], 2).to(device));
            let mut all = vec![op::avg_pool2d(&x, window), op::avg_pool2d_backward(&dy, x.shape(), window)];
            if window.padding[0] * 2 <= window.kernel[0] && window.padding[1] * 2 <= window.kernel[1] {
                let (y, argmax) = op::max_pool2d(&x, window);
                all.push(op::max_pool2d_backward(&dy, &argmax, x.shape(), window));
                all.extend([y, op::max_pool2d_only(&x, window)]);
            }
            all
        });
    }
    for kernel in [[2, 2], [3, 1]] {
        twins("maxima of windows side by side", 1e-6, |device| {
            let window = Window { kernel, stride: kernel, padding: [0, 0] };
            let (x, dy) = (numbers(&[3, 2, 6, 4], 1), numbers(&[3, 2, 6 / kernel[0], 4 / kernel[1]], 2));
            let (y, argmax) = op::max_pool2d(&x.to(device), window);
            vec![op::max_pool2d_backward(&dy.to(device), &argmax, &[3, 2, 6, 4], window), y]
        });
    }
    let flags: Vec<bool> = (0..12).map(|i| i % 3 != 1 && i < 8).collect();
    for present in [None, Some(Present::from(flags))] {
        twins("means", 1e-6, |device| {
            let (x, dy) = (numbers(&[3, 4, 7], 1).to(device), numbers(&[3, 7], 2).to(device));
            let back = op::mean_positions_backward(&dy, 4, present.as_ref());
            vec![op::mean_positions(&x, present.as_ref()), back]
        });
    }
    twins("pixels", 1e-6, |device| {
        let (x, dy) = (numbers(&[3, 4, 5, 7], 1).to(device), numbers(&[3, 4], 2).to(device));
        vec![op::mean_pixels(&x), op::mean_pixels_backward(&dy, x.shape())]
    });
}

#[test]
fn normalisations() {
    // Rows that a warp holds, one that is too long, and one that is not made of fours.
    let norms = |d: usize| {
        twins(&format!("layer and rms norm of {d}"), 3e-6, |device| {
            let [x, g, b, dy] = [numbers(&[4, 9, d], 1), numbers(&[d], 2), numbers(&[d], 3), numbers(&[4, 9, d], 4)]
                .map(|t| t.to(device));
            let (y, kept) = op::layer_norm(&x, &g, &b, 1e-5);
            let (scale, shift) = op::layer_norm_rows(&dy, &kept.xhat);
            let onto = op::layer_norm_backward_onto(&dy, &g, &kept, &x);
            let mut all = vec![y, op::layer_norm_backward(&dy, &g, &kept), onto, scale, shift, kept.rstd];
            let (y, kept) = op::rms_norm(&x, &g, 1e-5);
            all.extend([y, op::rms_norm_backward(&dy, &g, &kept), op::rms_norm_rows(&dy, &kept.xhat)]);
            all.push(op::rms_norm_backward_onto(&dy, &g, &kept, &x));
            all.extend([op::bias_rows_last(&dy), op::bias_rows_channels(&dy)]);
            all
        })
    };
    [4, 70, 72, 768, 2048, 2052].into_iter().for_each(norms);
    // Images that fit a block's registers, with lanes to spare and without, and images that do not.
    for (groups, [h, w]) in
        [(1, [5, 7]), (2, [5, 7]), (6, [5, 7]), (2, [6, 6]), (3, [16, 24]), (6, [32, 32]), (2, [40, 40])]
    {
        for rectified in [false, true] {
            twins(&format!("group norm {groups} {h}x{w} {rectified}"), 5e-6, |device| {
                let size = [3, 6, h, w];
                let [x, g, b, dy] =
                    [numbers(&size, 1), numbers(&[6], 2), numbers(&[6], 3), numbers(&size, 4)].map(|t| t.to(device));
                let (y, kept) = op::group_norm(&x, groups, &g, &b, 1e-5, rectified);
                let onto = op::group_norm_backward_onto(dy.clone(), [&g, &b], &kept, rectified, Some(&x)).0;
                let (dx, scale, shift) = op::group_norm_backward(dy, &g, &b, &kept, rectified);
                vec![y, dx, onto, scale, shift]
            });
        }
    }
    twins("standardise", 3e-6, |device| {
        let (w, gain) = (numbers(&[5, 3, 2, 2], 1).to(device), numbers(&[5], 2).to(device));
        let (y, kept) = op::standardise(&w, &gain, 1e-4);
        let mut rows = numbers(&[4, 60], 3).to(device);
        let gains = op::standardise_rows(&mut rows, &gain, &kept, 1e-4);
        vec![y, rows, gains]
    });
}

#[test]
fn losses() {
    for k in [3, 10, 4001] {
        twins("cross-entropy", 2e-6, |device| {
            let mut x = numbers(&[6, k], 1);
            x.data_mut()[0] = 300.0;
            let labels: Vec<u32> = (0..6).map(|i| (i * 7) % k as u32).collect();
            let (losses, gradient) = op::cross_entropy(x.to(device), &labels);
            vec![losses, gradient]
        });
        twins("token cross-entropy", 2e-6, |device| {
            let mut labels: Vec<u32> = (0..8).map(|i| (i * 5) % k as u32).collect();
            [1, 4, 5, 6, 7].into_iter().for_each(|i| labels[i] = u32::MAX);
            let mut x = numbers(&[2, 4, k], 2);
            x.data_mut()[k] = f32::NAN;
            let (losses, gradient) = op::token_cross_entropy(x.to(device), &labels);
            vec![losses, gradient]
        });
        twins("errors", 2e-6, |device| {
            let (x, t) = (numbers(&[5, k], 1).to(device), op::finite(&numbers(&[5, k], 2), 5 * k).to(device));
            let ((a, b), (c, d)) = (op::mean_squared_error(&x, &t), op::sigmoid_cross_entropy(&x, &t));
            vec![a, b, c, d]
        });
    }
}

#[test]
fn embeddings() {
    for padding in [None, Some(3)] {
        twins("look-up", 1e-6, |device| {
            let x = Tensor::new([2, 4], vec![0.0, 3.0, 6.0, 7.0, 2.5, -1.0, 3.0, f32::NAN]).to(device);
            let found = op::look_up(&x, &numbers(&[7, 5], 1).to(device), padding);
            let ids = Tensor::new([8], found.ids.to_host().iter().map(|id| *id as f32).collect());
            let silent = padding.map(|id| op::silence(numbers(&[2, 4, 5], 2).to(device), &found.ids, id));
            let mean = found.present.as_ref().map(|p| op::mean_positions(&numbers(&[2, 4, 5], 2).to(device), Some(p)));
            [found.rows, ids].into_iter().chain(silent).chain(mean).collect()
        });
    }
    let Some(turn) = gpu() else { return };
    let floats = numbers(&[9, 6], 1);
    let table = Table::of_floats(turn.gpu, floats.data(), 6);
    assert_eq!(table.gather(&[8, 0, 8]).to_host().data(), [floats.row(8), floats.row(0), floats.row(8)].concat());
    let bytes: Vec<u8> = (0..54).collect();
    let values = [0.5f32, -2.0].map(|by| std::array::from_fn(|b| b as f32 * by));
    let table = Table::of_bytes(turn.gpu, &bytes, 6, &values);
    assert_eq!(table.gather(&[1]).to_host().data(), [3.0, 3.5, 4.0, -18.0, -20.0, -22.0]);
}

#[test]
fn attentions() {
    for (t, heads, width) in [(1, 2, 4), (9, 3, 8), (70, 2, 32), (130, 1, 64), (200, 2, 48), (33, 1, 160)] {
        let flags: Vec<bool> = (0..2 * t).map(|at| at % 3 != 1 && at < t + 2).collect();
        for present in [None, Some(Present::from(flags))] {
            for causal in [false, true] {
                twins(&format!("attention {t} {heads} {width} {causal}"), 5e-6, |device| {
                    let d = heads * width;
                    let (x, dy) = (numbers(&[2, t, 3 * d], 1).to(device), numbers(&[2, t, d], 2).to(device));
                    let how = Attention { heads, causal };
                    let (y, kept) = op::attention(&x, how, present.as_ref());
                    vec![op::attention_backward(&dy, &x, &kept, how, present.as_ref()), y]
                });
            }
        }
    }
}

/// Noise and step in one pass: to the bit what two make of the same numbers, wherever tensors begin and end, in small models and large.
#[test]
fn a_step_behind_its_noise_is_the_noisy_step() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    let stream = Key::from_seed(3).stream(Purpose::Noise, 5, 1);
    for sizes in [&[1][..], &[300, 0, 5, 212, 1, 1, 1, 4, 1000], &[2048], &[40_003, 1_048_576, 3, 90_000]] {
        let len = sizes.iter().sum();
        let start = || sizes.iter().map(|n| numbers(&[*n], *n as u64).to(device)).collect::<Vec<Tensor>>();
        let all = |tensors: &[Tensor]| tensors.iter().flat_map(wide).collect::<Vec<f64>>();
        let sum = numbers(&[len], 7).to(device);
        for (by, deviation) in [(-0.37, Some(2.5f32)), (1.0, Some(0.0)), (0.1, None)] {
            let (mut want, mut got, mut noisy) = (start(), start(), sum.clone());
            stream.lend(|key, nonce| {
                let cipher = Cipher { key, nonce };
                let noise = deviation.map(|deviation| op::Noise { cipher, deviation });
                op::noised_walk(&mut [&mut got], std::slice::from_ref(&sum), by, noise);
                deviation.iter().for_each(|deviation| op::add_normals(&mut noisy, *deviation, cipher));
            });
            op::walk_all(&mut want, &noisy, by, None);
            assert_eq!(all(&got), all(&want), "{sizes:?} by {by}, {deviation:?}");
            assert!(wide(&sum) == wide(&numbers(&[len], 7)), "the sum itself is left as it was");
        }
    }
}

#[test]
fn streams_are_the_hosts() {
    let Some(turn) = gpu() else { return };
    for (seed, step, from) in [(1, 0, 0), (2, 77, 12_345), (3, u64::MAX, u64::MAX / 4)] {
        let stream = Key::from_seed(seed).stream(Purpose::Noise, step, 3);
        let mut words = vec![0; 1001];
        stream.fill_words(from, &mut words);
        let there = stream.lend(|key, nonce| op::words(turn.gpu, Cipher { key, nonce }, from, 1001));
        assert!(words == there, "words of {seed}, {step} from {from}");
        // About 275 pairs of 2^21 have a radius that takes more bits.
        let mut normals = vec![0.0; (1 << 22) + 1];
        stream.fill_normal(0, &mut normals);
        let mut made = Tensor::zeros_on(Device::Cuda(turn.gpu), [normals.len()]);
        stream.lend(|key, nonce| op::add_normals(&mut made, 1.0, Cipher { key, nonce }));
        for (k, (here, there)) in normals.iter().zip(made.to_host().data()).enumerate() {
            assert_eq!(here, there, "normal {k}");
        }
    }
    let stream = Key::from_seed(4).stream(Purpose::Dropout, 5, 1);
    let (starts, width) = ([0u64, 13, 1 << 50, 1003], 101);
    let there = stream.lend(|key, nonce| op::coins(turn.gpu, Cipher { key, nonce }, &starts, width, u64::MAX / 3));
    for (row, start) in starts.into_iter().enumerate() {
        let mut words = vec![0; width];
        stream.fill_words(start, &mut words);
        let coins: Vec<f32> = words.iter().map(|word| if *word < u64::MAX / 3 { 0.0 } else { 1.0 }).collect();
        assert_eq!(there.to_host().row(row), coins, "row {row}");
    }
}

#[test]
fn empty_batches_are_fine() {
    let Some(turn) = gpu() else { return };
    let there = |shape: &[usize]| Tensor::zeros_on(Device::Cuda(turn.gpu), shape);
    let none = |shape: &[usize]| there(&[&[0], shape].concat());
    let (w, window) = (there(&[3, 2, 2, 2]), WINDOWS[0]);
    assert_eq!(op::linear(&none(&[3, 4]), &there(&[5, 4]), None).shape(), [0, 3, 5]);
    assert_eq!(op::conv2d(&none(&[2, 4, 4]), &w, None, window).shape(), [0, 3, 3, 3]);
    assert_eq!(op::conv2d_backward(&none(&[3, 3, 3]), &w, &[0, 2, 4, 4], window).shape(), [0, 2, 4, 4]);
    assert_eq!(op::max_pool2d(&none(&[2, 4, 4]), window).0.shape(), [0, 2, 3, 3]);
    assert_eq!(op::cross_entropy(none(&[3]), &[]).1.shape(), [0, 3]);
    let mut sum = there(&[12]);
    let (a, b) = (none(&[2, 4]), none(&[2, 3]));
    let (norms, kept) = each::product_norms_kept(Left::Rows { a: &a }, &b);
    kept.into_iter().for_each(|kept| kept.sum(&[], &mut sum));
    each::product_sum(Left::Rows { a: &a }, &b, &[], &mut sum);
    assert!(norms.is_empty() && gap(&crate::wide(&sum), &[0.0; 12]) == 0.0);
    let how = Attention { heads: 2, causal: true };
    assert_eq!(op::attention(&none(&[5, 12]), how, None).0.shape(), [0, 5, 4]);
}

#[test]
fn too_much_is_an_error_that_says_so() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    let error = engine::guard(|| Tensor::zeros_on(device, [1 << 40])).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("out of memory") && error.contains("train.chunk"), "{error}");
    assert_eq!(Tensor::zeros_on(device, [3]).to_host().data(), [0.0; 3]);
}
