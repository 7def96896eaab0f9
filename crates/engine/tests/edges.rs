//! Empty batches, non-finite numbers, extreme logits.

use engine::op::per_example::*;
use engine::op::*;
use engine::{Tensor, Window};

const WINDOW: Window = Window { kernel: [2, 2], stride: [2, 1], padding: [0, 1] };

fn ones(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![1.0; shape.iter().product()])
}

#[test]
fn empty_batches_work_everywhere() {
    let none = |shape: &[usize]| Tensor::zeros([&[0], shape].concat());
    let is = |x: &Tensor, shape: &[usize]| assert_eq!(x.shape(), [&[0], shape].concat());
    is(&linear(&none(&[3, 4]), &ones(&[5, 4]), Some(&ones(&[5]))), &[3, 5]);
    is(&linear_backward(&none(&[3, 5]), &ones(&[5, 4])), &[3, 4]);
    is(&conv2d(&none(&[2, 4, 4]), &ones(&[3, 2, 2, 2]), None, WINDOW), &[3, 2, 5]);
    is(&conv2d_backward(&none(&[3, 2, 5]), &ones(&[3, 2, 2, 2]), &[0, 2, 4, 4], WINDOW), &[2, 4, 4]);
    is(&relu_backward(&relu(none(&[3])), none(&[3])), &[3]);
    is(&tanh_backward(&tanh(none(&[3])), none(&[3])), &[3]);
    is(&gelu_backward(&gelu(&none(&[3]), Approximation::Erf), none(&[3]), Approximation::Tanh), &[3]);
    let (y, argmax) = max_pool2d(&none(&[2, 4, 4]), WINDOW);
    is(&y, &[2, 2, 5]);
    is(&max_pool2d_only(&none(&[2, 4, 4]), WINDOW), &[2, 2, 5]);
    is(&max_pool2d_backward(&y, &argmax, &[0, 2, 4, 4], WINDOW), &[2, 4, 4]);
    is(&avg_pool2d_backward(&avg_pool2d(&none(&[2, 4, 4]), WINDOW), &[0, 2, 4, 4], WINDOW), &[2, 4, 4]);
    let (y, kept) = layer_norm(&none(&[3, 4]), &ones(&[4]), &ones(&[4]), 1e-5);
    is(&layer_norm_backward(&y, &ones(&[4]), &kept), &[3, 4]);
    is(&layer_norm_rows(&y, &kept.xhat).0, &[4]);
    let (y, kept) = group_norm(&none(&[4, 2, 2]), 2, &ones(&[4]), &ones(&[4]), 1e-5, true);
    let (dx, _, shift) = group_norm_backward(y, &ones(&[4]), &ones(&[4]), &kept, true);
    is(&dx, &[4, 2, 2]);
    is(&shift, &[4]);
    is(&embedding(&[], &[0, 5], &ones(&[7, 3])), &[5, 3]);
    is(&cross_entropy(none(&[3]), &[]).1, &[3]);
    is(&sigmoid_cross_entropy(&none(&[3]), &none(&[3])).1, &[3]);
    is(&mean_squared_error(&none(&[3]), &none(&[3])).1, &[3]);
    is(&bias_rows_last(&none(&[4, 3])), &[3]);
    is(&bias_rows_channels(&none(&[3, 4])), &[3]);
    assert!(argmax_rows(&none(&[3])).is_empty());
}

#[test]
fn empty_batches_have_zero_sums() {
    let (a, b, x) = (Tensor::zeros([0, 2, 4]), Tensor::zeros([0, 2, 3]), Tensor::zeros([0, 3, 2, 5]));
    let images = Tensor::zeros([0, 2, 4, 4]);
    for (left, b, size) in [(Left::Rows { a: &a }, &b, 12), (Left::Patches { x: &images, window: WINDOW }, &x, 24)] {
        assert_eq!(product_rows(left, b).shape(), [0, size]);
        let mut sum = vec![7.0; size];
        product_sum(left, b, &[], &mut sum);
        let (norms, kept) = product_norms_kept(left, b);
        kept.into_iter().for_each(|kept| kept.sum(&[], &mut sum));
        assert_eq!(sum, vec![7.0; size]);
        assert!(norms.is_empty() && product_norms(left, b).is_empty());
        assert!(product_dot(left, b, &vec![1.0; size]).is_empty());
    }
    let mut sum = [7.0; 6];
    scatter_sum(&[], &b, &[], &mut sum);
    rows_sum(&Tensor::zeros([0, 6]), &[], &mut sum);
    assert_eq!(sum, [7.0; 6]);
    assert!(scatter_norms(&[], &b).is_empty() && scatter_dot(&[], &b, &[1.0; 6]).is_empty());
    assert!(rows_norms(&Tensor::zeros([0, 3])).is_empty());
}

#[test]
fn not_a_number_stays_visible() {
    let bad = || Tensor::new([1, 3], vec![f32::NAN, 1.0, 2.0]);
    assert!(relu(bad()).data()[0].is_nan());
    assert!(tanh(bad()).data()[0].is_nan());
    assert!(gelu(&bad(), Approximation::Erf).data()[0].is_nan());
    assert!(gelu(&bad(), Approximation::Tanh).data()[0].is_nan());
    assert!(relu_backward(&relu(bad()), bad()).data()[0].is_nan());
    assert!(cross_entropy(bad(), &[1]).0.data()[0].is_nan());
    assert!(sigmoid_cross_entropy(&bad(), &ones(&[1, 3])).0.data()[0].is_nan());
    assert!(rows_norms(&bad())[0].is_nan());
    for at in 0..4 {
        let mut x = ones(&[1, 1, 2, 2]);
        x.data_mut()[at] = f32::NAN;
        let window = Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0] };
        let (y, argmax) = max_pool2d(&x, window);
        assert!(y.data()[0].is_nan() && argmax[..] == [at as u32]);
    }
    assert_eq!(argmax_rows(&Tensor::new([2, 2], vec![f32::NAN, 3.0, 1.0, 1.0])), [1, 0]);
}

#[test]
fn large_logits_are_stable() {
    let logits = Tensor::new([2, 2], vec![1e30, -1e30, 300.0, 301.0]);
    let (losses, gradient) = cross_entropy(logits.clone(), &[0, 0]);
    assert_eq!((losses.data()[0], gradient.row(0)), (0.0, &[0.0, 0.0][..]));
    assert!((losses.data()[1] - 1.313_261_7).abs() < 1e-6);
    let (losses, gradient) = sigmoid_cross_entropy(&logits, &Tensor::zeros([2, 2]));
    assert_eq!((losses.data()[0], gradient.row(0)), (5e29, &[0.5, 0.0][..]));
}

#[test]
fn extreme_inputs_of_gelu_have_finite_slopes() {
    let x = || Tensor::new([1, 4], vec![1e30, -1e30, f32::MAX, -25.0]);
    for approximation in [Approximation::Erf, Approximation::Tanh] {
        assert_eq!(gelu_backward(&x(), ones(&[1, 4]), approximation).data(), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(gelu(&x(), approximation).data()[..3], [1e30, 0.0, f32::MAX]);
    }
}

#[test]
#[should_panic(expected = "linear: input Tensor[2, 3], weight Tensor[4, 5]")]
fn wrong_shapes_are_named() {
    let _ = linear(&ones(&[2, 3]), &ones(&[4, 5]), None);
}
