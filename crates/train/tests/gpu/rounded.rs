//! Activations that are kept in bf16: every operation on such numbers against the processor's on the very same ones, and that
//! nothing asks for them in f32 on the way.
use crate::{Turn, gap, gpu, numbers, operations::WINDOWS, wide};
use engine::{
    Device, Precision, Tensor, Window,
    op::{self, Activation, Approximation, Cipher, Normalised, Present},
};
use privacy::{Key, Purpose};
use train::{config::Mode, trainer::Trainer, workload::Workload};

/// Rounded to nearest once, a number moves by 2^-8 of itself at most; a fifth of that is left to functions that are not taken to all
/// digits, and to what is added up in another order.
const ONCE: f64 = 1.2 / 256.0;
/// Sums over positions stay f32.
const SUM: f64 = 5e-6;

/// Results that are kept in bf16, and those that stay f32.
type Results = (Vec<Tensor>, Vec<Tensor>);

/// Rounded to nearest, ties to even.
fn round(mut x: Tensor) -> Tensor {
    for x in x.data_mut() {
        let bits = x.to_bits();
        *x = f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
    }
    x
}

/// Numbers around zero that bf16 holds, as an operation before would leave them: the means of one pixel each.
fn kept(shape: &[usize], seed: u64, device: Device) -> Tensor {
    keep(round(numbers(shape, seed)), device)
}

fn keep(x: Tensor, device: Device) -> Tensor {
    let (shape, len) = (x.shape().to_vec(), x.len());
    op::mean_pixels(&x.reshape([1, len, 1]).to(device)).reshape(shape)
}

/// A GPU whose activations are bf16.
fn rounding() -> Option<Turn> {
    let turn = gpu()?;
    turn.gpu.set_precision(Precision::Bf16);
    Some(turn)
}

/// What `work` gives on both devices: within `tolerance` where it is kept in bf16, as exact as ever where it is not. It must not
/// ask for anything in f32, and what is said to be kept in bf16 must be.
fn twins(name: &str, tolerance: f64, work: impl Fn(Device) -> Results) {
    let Some(turn) = rounding() else { return };
    let widened = || turn.gpu.usage().widened;
    let before = widened();
    let there = engine::guard(|| work(Device::Cuda(turn.gpu))).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(widened(), before, "{name} asks for f32");
    let here = work(Device::Cpu);
    for (k, (here, there)) in here.0.iter().zip(&there.0).enumerate() {
        let before = widened();
        let gap = gap(&wide(here), &wide(there));
        assert!(here.shape() == there.shape() && gap <= tolerance, "{name}, result {k}: {gap:e} apart");
        assert_eq!(widened() - before, 4 * there.len(), "{name}, result {k} is not kept in bf16");
    }
    for (k, (here, there)) in here.1.iter().zip(&there.1).enumerate() {
        let gap = gap(&wide(here), &wide(there));
        assert!(here.shape() == there.shape() && gap <= SUM, "{name}, sum {k}: {gap:e} apart");
    }
    assert!((here.0.len(), here.1.len()) == (there.0.len(), there.1.len()));
}

#[test]
fn elementwise() {
    type Work = fn(Tensor, Tensor) -> Vec<Tensor>;
    let exact: [(&str, Work); 2] = [
        ("relu", |x, _| vec![op::relu(x)]),
        ("relu backward", |x, dy| vec![Activation::Relu.backward(&op::relu(x), dy)]),
    ];
    let once: [(&str, Work); 6] = [
        ("tanh", |x, dy| vec![op::tanh_backward(&x, dy), op::tanh(x)]),
        ("gelu", |x, dy| vec![op::gelu(&x, Approximation::Erf), op::gelu_backward(&x, dy, Approximation::Erf)]),
        ("gelu tanh", |x, dy| vec![op::gelu(&x, Approximation::Tanh), op::gelu_backward(&x, dy, Approximation::Tanh)]),
        ("silu", |x, dy| vec![op::silu(&x), op::silu_backward(&x, dy)]),
        ("add", |x, dy| vec![op::add(x, &dy)]),
        ("multiply", |x, dy| vec![op::multiply(x, &dy, 1.1)]),
    ];
    let (exact, once) = (exact.into_iter().map(|one| (one, 0.0)), once.into_iter().map(|one| (one, ONCE)));
    for ((name, work), tolerance) in exact.chain(once) {
        // Whole vectors and a rest.
        for shape in [[3, 7, 11], [4, 8, 16]] {
            twins(name, tolerance, |device| (work(kept(&shape, 1, device), kept(&shape, 2, device)), vec![]));
        }
    }
    twins("rows with zeros behind", 0.0, |device| (vec![op::pad_rows(&kept(&[4, 15], 1, device), 6)], vec![]));
    twins("rows that are shifted", ONCE, |device| {
        (vec![op::add_to_each(kept(&[4, 3, 5], 1, device), &numbers(&[20], 3).to(device))], vec![])
    });
    for form in [Approximation::Erf, Approximation::Tanh] {
        twins("gelu with sums", ONCE, |device| {
            let (x, dy) = (kept(&[3, 130, 40], 1, device), kept(&[3, 130, 40], 2, device));
            let (dx, sums) = op::gelu_backward_sums(&x, dy, form);
            let sums = sums.unwrap_or_else(|| op::bias_rows_last(&dx));
            (vec![dx], vec![sums])
        });
    }
    twins("slopes with their sums", ONCE, |device| {
        let (y, dy) = (kept(&[3, 4, 5, 6], 1, device), kept(&[3, 4, 5, 6], 2, device));
        // Sums are of what was not yet rounded, as one pass has it: as far from the processor's as one rounding.
        let (dx, _) = Activation::Tanh.backward_channels(&y, dy);
        (vec![dx], vec![])
    });
}

#[test]
fn products_with_shifts() {
    for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
        // Rows that tensor cores are fed from as they lie. A tanh is taken of what was rounded.
        twins("linear", 2.0 * ONCE, |device| {
            let [x, w, b] = [(&[6, 5, 64][..], 1), (&[32, 64], 2), (&[32], 3)].map(|(s, seed)| round(numbers(s, seed)));
            let (x, w, b) = (x.to(device), w.to(device), b.to(device));
            let dx = op::linear_backward(&kept(&[6, 5, 32], 4, device), &w);
            let onto = op::linear_onto(&x, &w, Some(&b), &kept(&[6, 5, 32], 5, device));
            (vec![op::linear_then(&x, &w, Some(&b), activation), dx, onto], vec![])
        });
    }
}

#[test]
fn pools_and_means() {
    let side_by_side = [[2, 2], [3, 1]].map(|kernel| Window { kernel, stride: kernel, padding: [0, 0] });
    for window in WINDOWS.into_iter().chain(side_by_side) {
        let [h, w] = if window.kernel == window.stride { [6, 4] } else { [9, 8] };
        let (oh, ow) = window.output(h, w).unwrap_or_else(|| panic!("{window:?} fits"));
        let inputs = |device| (kept(&[3, 2, h, w], 1, device), kept(&[3, 2, oh, ow], 2, device));
        twins(&format!("means of {window:?}"), ONCE, |device| {
            let (x, dy) = inputs(device);
            (vec![op::avg_pool2d(&x, window), op::avg_pool2d_backward(&dy, x.shape(), window)], vec![])
        });
        twins(&format!("maxima of {window:?}"), 0.0, |device| {
            let (x, _) = inputs(device);
            (vec![op::max_pool2d(&x, window).0, op::max_pool2d_only(&x, window)], vec![])
        });
        twins(&format!("slopes of maxima of {window:?}"), ONCE, |device| {
            let (x, dy) = inputs(device);
            (vec![op::max_pool2d_backward(&dy, &op::max_pool2d(&x, window).1, x.shape(), window)], vec![])
        });
    }
    let flags: Vec<bool> = (0..12).map(|i| i % 3 != 1 && i < 8).collect();
    for present in [None, Some(Present::from(flags))] {
        twins("means of positions", ONCE, |device| {
            let (x, dy) = (kept(&[3, 4, 7], 1, device), kept(&[3, 7], 2, device));
            let back = op::mean_positions_backward(&dy, 4, present.as_ref());
            (vec![op::mean_positions(&x, present.as_ref()), back], vec![])
        });
    }
    twins("means of pixels", ONCE, |device| {
        let (x, dy) = (kept(&[3, 4, 5, 7], 1, device), kept(&[3, 4], 2, device));
        (vec![op::mean_pixels(&x), op::mean_pixels_backward(&dy, x.shape())], vec![])
    });
}

/// What forward kept, rounded as a GPU keeps it: what backward makes of it is then comparable.
fn kept_norm(norm: Normalised, device: Device) -> Normalised {
    Normalised { xhat: keep(round(norm.xhat), device), rstd: norm.rstd.to(device) }
}

#[test]
fn normalisations() {
    // Rows that a warp holds, one that is too long, and one that is not made of fours.
    for d in [4, 70, 72, 384, 768, 1024, 2048, 2052] {
        let [x, g, b] = [(&[4, 9, d][..], 1), (&[d], 2), (&[d], 3)].map(|(shape, seed)| round(numbers(shape, seed)));
        twins(&format!("layer norm of {d}"), ONCE, |device| {
            let (g, b, dy) = (g.clone().to(device), b.clone().to(device), kept(&[4, 9, d], 4, device));
            let (y, norm) = op::layer_norm(&keep(x.clone(), device), &g, &b, 1e-5);
            let known = kept_norm(op::layer_norm(&x, &Tensor::zeros([d]), &Tensor::zeros([d]), 1e-5).1, device);
            let (scale, shift) = op::layer_norm_rows(&dy, &known.xhat);
            let sums = vec![norm.rstd, scale, shift, op::bias_rows_last(&dy)];
            let onto = op::layer_norm_backward_onto(&dy, &g, &known, &kept(&[4, 9, d], 5, device));
            (vec![y, norm.xhat, op::layer_norm_backward(&dy, &g, &known), onto], sums)
        });
        twins(&format!("root-mean-square norm of {d}"), ONCE, |device| {
            let (g, dy) = (g.clone().to(device), kept(&[4, 9, d], 4, device));
            let (y, norm) = op::rms_norm(&keep(x.clone(), device), &g, 1e-5);
            let known = kept_norm(op::rms_norm(&x, &Tensor::zeros([d]), 1e-5).1, device);
            let sums = vec![norm.rstd, op::rms_norm_rows(&dy, &known.xhat)];
            let onto = op::rms_norm_backward_onto(&dy, &g, &known, &kept(&[4, 9, d], 5, device));
            (vec![y, norm.xhat, op::rms_norm_backward(&dy, &g, &known), onto], sums)
        });
    }
    // Images that fit a block's registers, with lanes to spare and without, and images that do not.
    for (groups, [h, w]) in [(1, [5, 7]), (2, [6, 6]), (3, [16, 24]), (6, [32, 32]), (2, [40, 40])] {
        let size = [3, 6, h, w];
        let [x, g, b] = [(&size[..], 1), (&[6], 2), (&[6], 3)].map(|(shape, seed)| round(numbers(shape, seed)));
        for rectified in [false, true] {
            twins(&format!("group norm {groups} {h}x{w} {rectified}"), ONCE, |device| {
                let (g, b, dy) = (g.clone().to(device), b.clone().to(device), kept(&size, 4, device));
                let (y, norm) = op::group_norm(&keep(x.clone(), device), groups, &g, &b, 1e-5, rectified);
                let zeros = Tensor::zeros([6]);
                let known = kept_norm(op::group_norm(&x, groups, &zeros, &zeros, 1e-5, false).1, device);
                let sums = op::bias_rows_channels(&dy);
                let before = kept(&size, 5, device);
                let onto = op::group_norm_backward_onto(dy.clone(), [&g, &b], &known, rectified, Some(&before)).0;
                let (dx, scale, shift) = op::group_norm_backward(dy, &g, &b, &known, rectified);
                (vec![y, norm.xhat, dx, onto], vec![norm.rstd, scale, shift, sums])
            });
        }
    }
}

#[test]
fn losses() {
    for k in [8, 10, 4001] {
        twins("cross-entropy", ONCE, |device| {
            let labels: Vec<u32> = (0..6).map(|i| (i * 7) % k as u32).collect();
            let (losses, gradient) = op::cross_entropy(kept(&[6, k], 1, device), &labels);
            (vec![gradient], vec![losses])
        });
        twins("token cross-entropy", ONCE, |device| {
            let labels: Vec<u32> = (0..8).map(|i| if i % 3 == 1 { u32::MAX } else { (i * 5) % k as u32 }).collect();
            let (losses, gradient) = op::token_cross_entropy(kept(&[2, 4, k], 2, device), &labels);
            (vec![gradient], vec![losses])
        });
        twins("errors", ONCE, |device| {
            let (x, t) = (kept(&[5, k], 1, device), op::finite(&numbers(&[5, k], 2), 5 * k).to(device));
            let ((a, b), (c, d)) = (op::mean_squared_error(&x, &t), op::sigmoid_cross_entropy(&x, &t));
            (vec![b, d], vec![a, c])
        });
    }
}

#[test]
fn embeddings_and_coins() {
    for padding in [None, Some(3)] {
        twins("look-up", 0.0, |device| {
            let x = Tensor::new([2, 4], vec![0.0, 3.0, 6.0, 7.0, 2.5, -1.0, 3.0, f32::NAN]).to(device);
            let found = op::look_up(&x, &round(numbers(&[7, 5], 1)).to(device), padding);
            // A gradient that somebody else looks at too.
            let dy = kept(&[2, 4, 5], 2, device);
            let silent = padding.map(|id| op::silence(dy.clone(), &found.ids, id));
            ([found.rows, dy].into_iter().chain(silent).collect(), vec![])
        });
    }
    twins("ids beyond bf16", 0.0, |device| {
        let x = Tensor::new([1, 3], vec![257.0, 4097.0, 5001.0]).to(device);
        (vec![op::look_up(&x, &round(numbers(&[5002, 2], 1)).to(device), None).rows], vec![])
    });
    let (stream, starts, width) = (Key::from_seed(4).stream(Purpose::Dropout, 5, 1), [0u64, 13, 1 << 50], 101);
    twins("coins", ONCE, |device| {
        let mut words = vec![0; width];
        let mut mask = Tensor::zeros([starts.len(), width]);
        for (row, start) in mask.data_mut().chunks_exact_mut(width).zip(starts) {
            stream.fill_words(start, &mut words);
            row.iter_mut().zip(&words).for_each(|(coin, word)| *coin = f32::from(u8::from(*word >= u64::MAX / 3)));
        }
        if let Device::Cuda(gpu) = device {
            let flip = |key: &[u8; 32], nonce| op::coins(gpu, Cipher { key, nonce }, &starts, width, u64::MAX / 3);
            mask = stream.lend(flip);
        }
        // 1.5 stays 1.5, but 10/9 does not: it must meet the product, not the coin.
        (vec![op::multiply(kept(&[starts.len(), width], 1, device), &mask, 10.0 / 9.0), mask], vec![])
    });
}

/// Weights whose rounded form is there already: it walks with them.
#[test]
fn weights_walk_with_their_rounded_form() {
    let Some(turn) = rounding() else { return };
    let device = Device::Cuda(turn.gpu);
    let x = kept(&[3, 32], 1, device);
    // Of all numbers' multiples, and not: places in the step at multiples of four and elsewhere.
    let mut all = [[24, 32], [7, 32], [1, 5], [16, 32]].map(|shape| numbers(&shape, shape[0] as u64).to(device));
    let product = |w: &Tensor| op::linear(&x, w, None).to_host();
    let linear = |all: &[Tensor; 4]| [&all[0], &all[1], &all[3]].map(product);
    let before = linear(&all);
    let shared = all[1].clone();
    for turn in 0..4 {
        let step = numbers(&[all.iter().map(Tensor::len).sum()], 9 + turn).to(device);
        match turn % 2 {
            0 => op::walk_all(&mut all, &step, 0.7, None),
            _ => op::noised_walk(&mut [&mut all], &[step], 0.7, None),
        }
        let fresh = all.clone().map(|w| w.to_host().to(device));
        assert!(linear(&all) == linear(&fresh) && linear(&all) != before);
    }
    assert!(product(&shared) == before[1], "a tensor that somebody shares is left as it was");
}

/// A workload's trainer on the GPU, with changes.
fn trainer(name: &str, (mode, batch): (Mode, usize), set: &[&str]) -> Trainer {
    let workload = Workload::by_name(name).unwrap_or_else(|| panic!("no workload {name}"));
    let set: Vec<String> = ["train.device=cuda"].iter().chain(set).map(|&change| change.to_owned()).collect();
    let config = workload.config(mode, &set).unwrap_or_else(|e| panic!("{e}"));
    workload.trainer(&config, batch).unwrap_or_else(|e| panic!("{e}"))
}

fn step(trainer: &mut Trainer) {
    engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"));
}

/// Steps of the large workloads, private and ordinary, on few examples: less is made f32 than one of a layer's activations would take
/// (W4 196 608 bytes an example, W5 1 572 864, W6 262 144 where it is widest). Of the small ones it is said only.
#[test]
fn steps_ask_for_no_activation_in_f32() {
    let Some(turn) = rounding() else { return };
    let mut wide = Vec::new();
    for (name, batch, most) in [
        ("W1", 64, usize::MAX),
        ("W2", 32, usize::MAX),
        ("W3", 32, usize::MAX),
        ("W4", 8, 196_608),
        ("W5", 2, 1_572_864),
        ("W6", 16, 262_144),
    ] {
        for mode in [Mode::Private, Mode::Ordinary] {
            let mut trainer = trainer(name, (mode, batch), &["train.precision=bf16", "train.chunk=1024"]);
            step(&mut trainer);
            let before = turn.gpu.usage().widened;
            step(&mut trainer);
            let each = (turn.gpu.usage().widened - before) / batch;
            println!("{name}, {mode:?}: {each} bytes an example are made f32");
            if each >= most {
                wide.push(format!("{name}, {mode:?}: {each}"));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:?}");
}

/// Private steps on the same lots with the same noise: what they are charged is the same, and where they lead is near, measured by
/// how far they lead.
#[test]
fn rounded_steps_lead_where_exact_ones_do() {
    let Some(_turn) = gpu() else { return };
    for name in ["W1", "W2", "W4"] {
        let walk = |precision: &str| {
            let set = [&format!("train.precision={precision}")[..], "train.sample_rate=0.5", "train.chunk=24"];
            let mut trainer = trainer(name, (Mode::Private, 64), &set);
            let start = wide(trainer.weights.point().tensor());
            (0..6).for_each(|_| step(&mut trainer));
            (start, wide(trainer.weights.point().tensor()), format!("{:?}", trainer.ledger.entries()))
        };
        let ((start, exact, book), (_, rounded, other)) = (walk("f32"), walk("bf16"));
        let length = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        let apart = length(&exact, &rounded) / length(&start, &exact);
        println!("{name}: {apart:e} of the way apart");
        assert_eq!(book, other, "{name}");
        assert!(apart > 0.0 && apart < 0.05, "{name}: {apart:e} of the way apart");
    }
}
