//! Points in parameter space.
use super::{numbers::at_least, *};
use crate::layer::{Init, Parameter};
use engine::op;
use privacy::{Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Privatized, Sampler, Secret, Source, Sum};

fn grads(numbers: &[f32]) -> Grads {
    Grads::new(&Layout::new(vec![Parameter::new("w", [numbers.len()], Init::Constant(0.0))]), numbers.to_vec())
}

/// A scale that is only remembered is seen by whoever looks, and multiplied in once by whoever changes numbers.
#[test]
fn a_remembered_scale_is_never_lost_nor_taken_twice() {
    let halved = || grads(&[2.0, -4.0]).times(0.25).scale(2.0);
    assert_eq!(halved().flat(), [1.0, -2.0]);
    assert_eq!((halved().parameter(0), halved().to_vec()), (&[1.0, -2.0][..], vec![1.0, -2.0]));
    assert_eq!((halved().tensor().data(), halved().part(0).to_vec()), (&[1.0, -2.0][..], vec![1.0, -2.0]));
    assert_eq!((halved().norm(), halved().clone().scale(-2.0).norm()), (5f64.sqrt(), 20f64.sqrt()));
    let change = |f: &dyn Fn(&mut Grads)| {
        let mut g = halved();
        let _ = g.flat();
        f(&mut g);
        (g.flat().to_vec(), g.factors().1)
    };
    assert_eq!(change(&|g| g.flat_mut()[0] += 1.0), (vec![2.0, -2.0], 1.0));
    assert_eq!(change(&|g| g.parameter_mut(0)[1] = 7.0), (vec![1.0, 7.0], 1.0));
    assert_eq!(change(&|g| g.for_each(|x| *x += 1.0)), (vec![2.0, -1.0], 1.0));
    assert_eq!(change(&|g| g.zip_with(&halved(), |a, b| *a += b)), (vec![2.0, -4.0], 1.0));
    assert_eq!(change(&|g| g.blend(&halved(), 3.0, 1.0)), (vec![4.0, -8.0], 1.0));
    assert_eq!(change(&|g| g.blend_square(&halved(), 3.0, 1.0)), (vec![4.0, -2.0], 1.0));
    assert_eq!(halved().add(halved()).flat(), [2.0, -4.0]);
    assert_eq!(halved().add_scaled(halved(), 3.0).flat(), [4.0, -8.0]);
    let (m, v) = (halved(), halved().times(-8.0).add(grads(&[12.0, 0.0])));
    assert_eq!(halved().adam_step(&m, &v, 1.0, 1.0, 0.0).flat(), [-0.5, 0.5]);
}

const LONG: usize = 2 * BLOCK + 77;

fn long(by: f32) -> Grads {
    grads(&(0..LONG).map(|i| (i % 1000) as f32 * by).collect::<Vec<f32>>())
}

/// White noise twice the bound, made by whoever is not asked to make it.
struct White;
impl Mechanism<Grads> for White {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: 2.0 }
    }
    fn unit(&mut self, _: &Source, _: Grads) -> Grads {
        panic!("numbers on the host are veiled")
    }
    fn is_white(&self) -> bool {
        true
    }
}

fn released(sum: Grads) -> Privatized<Grads> {
    let draw = Poisson::new(10, 0.5, Key::from_seed(1)).unwrap().draw(3);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    ledger.open(&draw).release(Secret::new(sum).vouch(0.25), &mut White).unwrap()
}

/// The numbers that a release of `long(0.1)` halved shows, by hand.
fn noisy() -> Vec<f32> {
    let stream = Key::from_seed(1).stream(privacy::Purpose::Noise, 3, 0);
    let mut numbers = long(0.1).times(0.5).to_vec();
    stream.add_normal(0, 0.5, &mut numbers);
    numbers
}

/// Whatever is asked of numbers behind their noise, it is the noisy ones that answer, by as many threads as there are.
#[test]
fn veiled_numbers_are_the_noisy_ones() {
    let (want, veiled) = (noisy(), || released(long(0.1).times(0.5)).into_inner());
    let third: Vec<f32> = want.iter().map(|x| (f64::from(*x) * 0.25) as f32).collect();
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            assert_eq!((veiled().flat(), veiled().parameter(0)), (&want[..], &want[..]));
            assert_eq!((veiled().to_vec(), veiled().part(0).to_vec()), (want.clone(), want.clone()));
            assert_eq!((veiled().tensor().data(), veiled().factors().0.data()), (&want[..], &want[..]));
            assert_eq!((veiled().clone().flat(), veiled().scale(0.25).flat()), (&want[..], &third[..]));
            assert_eq!(veiled().norm(), grads(&want).norm());
            assert_eq!((veiled().device(), veiled().layout().len()), (Device::Cpu, LONG));
            assert_eq!(veiled().add(long(1.0)).flat(), grads(&want).add(long(1.0)).flat());
            assert_eq!(veiled().add_scaled(long(1.0), 3.0).flat(), grads(&want).add_scaled(long(1.0), 3.0).flat());
            assert_eq!(veiled().blank().flat(), [0.0; LONG]);
            let changed = |f: &dyn Fn(&mut Grads)| {
                let [mut a, mut b] = [veiled(), grads(&want)];
                [&mut a, &mut b].into_iter().for_each(f);
                assert_eq!(a.flat(), b.flat());
            };
            changed(&|g| g.blend(&long(1.0), 0.5, 2.0));
            changed(&|g| g.flat_mut()[5] += 1.0);
            changed(&|g| g.zip_with(&veiled(), |a, b| *a -= b));
        });
    }
}

/// A step out of veiled numbers, whatever it is multiplied by, and of whatever tensors: to the bit the one out of noisy numbers; also
/// when somebody has looked before, and when it is taken twice.
#[test]
fn a_veiled_step_is_the_noisy_step() {
    let start = |sizes: &[usize]| sizes.iter().map(|n| Tensor::new([*n], vec![0.5; *n])).collect::<Vec<_>>();
    for sizes in [&[LONG][..], &[1, BLOCK, 0, 5, 300, BLOCK - 229][..]] {
        for threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let [mut want, mut got, mut seen] = [0; 3].map(|_| start(sizes));
            pool.install(|| {
                let step = released(long(0.1).times(0.5)).map(|g| g.scale(0.3).times(-0.7));
                let looked = step.get().clone();
                let _ = looked.flat();
                let twice = released(long(0.1).times(0.5)).map(|g| g.scale(0.3).times(-0.7));
                for _ in 0..2 {
                    op::walk_all(&mut want, &Tensor::new([LONG], noisy()), 0.3 * f64::from(-0.7f32), None);
                    twice.get().walk(&mut [&mut got]);
                    looked.walk(&mut [&mut seen]);
                }
                assert_eq!(twice.get().flat(), looked.flat());
            });
            let all = |tensors: &[Tensor]| tensors.iter().flat_map(|t| t.data().to_vec()).collect::<Vec<f32>>();
            assert_eq!(all(&got), all(&want));
            assert_eq!(all(&seen), all(&want));
        }
    }
}

/// The deviation that a GPU is told is never below the one that was charged, and next to it.
#[test]
fn deviations_are_not_rounded_down() {
    for by in [1.0, 0.1, 1.1 * 0.7, 1e-7, 2.0 / 3.0, f64::from(f32::MAX) * 0.3, 0.0, 5e-42] {
        let told = f64::from(at_least(by));
        assert!((by..=by * (1.0 + 2f64.powi(-22)) + 1e-44).contains(&told), "{by:e}: {told:e}");
    }
}
