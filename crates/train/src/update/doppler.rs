//! DOPPLER: a low-pass filter of released gradients, in front of an optimizer.
//!
//! Source: Zhang, Bu, Hong & Razaviyayn, NeurIPS 2024, arXiv 2408.13460. Gradients change slowly from step to step, noise
//! does not: `m_t = sum_k b_k g_{t-k} - sum_k a_k m_{t-k}` keeps what is slow. `c_t`, the same filter on a constant one, is
//! divided out: `g_t = m_t / c_t`, unbiased from the first step on (the published recursion drives `c` with the whole sum of
//! `b` from the start, which halves the first output for `b = (.05, .05)`).
//! White noise leaves with `sum h_k^2 / c^2` of its variance, `h` being the impulse response; the links behind are told.
//! A filter and an optimizer with momentum filter twice. Post-processing: costs no privacy.
use super::{Now, Prepare, Update, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn inputs() -> Vec<f64> {
    vec![0.05, 0.05]
}
fn outputs() -> Vec<f64> {
    vec![-0.9]
}

/// `{ update = "doppler", inputs = [0.05, 0.05], outputs = [-0.9] }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doppler {
    /// `b_0, b_1, ...`: weights of this gradient and of those before it.
    #[serde(default = "inputs")]
    pub inputs: Vec<f64>,
    /// `a_1, a_2, ...`: what is subtracted of earlier outputs.
    #[serde(default = "outputs")]
    pub outputs: Vec<f64>,
}

impl Prepare for Doppler {
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        for (name, list) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            list.iter().try_for_each(|c| within(name, *c, -10.0..=10.0).map(drop))?;
        }
        let through: f64 = self.inputs.iter().sum::<f64>() - self.outputs.iter().sum::<f64>();
        if (through - 1.0).abs() > 1e-9 || self.inputs.first().is_none_or(|b| *b == 0.0) {
            return Err(format!(
                "inputs less outputs add up to {through}: what does not change must pass as it is (1)"
            ));
        }
        let mut scalar = Scalar::default();
        let last = (0..10_000).map(|k| scalar.next(self, f64::from(u8::from(k == 0)))).fold(0.0, |_, h: f64| h.abs());
        if last.is_nan() || last > 1e-6 {
            return Err("outputs: this filter does not forget; its response to one gradient must die away".into());
        }
        let slots = |n: usize| (0..n).map(|_| None).collect();
        let (inputs, outputs) = (slots(self.inputs.len() - 1), slots(self.outputs.len()));
        let settings = self.clone();
        Ok(Box::new(Link {
            settings,
            inputs,
            outputs,
            ones: Scalar::default(),
            impulse: Scalar::default(),
            gain: 0.0,
            age: 0,
        }))
    }
}

/// The same filter on numbers: newest first.
#[derive(Default)]
struct Scalar {
    inputs: Vec<f64>,
    outputs: Vec<f64>,
}

impl Scalar {
    fn next(&mut self, filter: &Doppler, input: f64) -> f64 {
        self.inputs.insert(0, input);
        self.inputs.truncate(filter.inputs.len());
        let sum = |weights: &[f64], past: &[f64]| weights.iter().zip(past).map(|(w, x)| w * x).sum::<f64>();
        let output = sum(&filter.inputs, &self.inputs) - sum(&filter.outputs, &self.outputs);
        self.outputs.insert(0, output);
        self.outputs.truncate(filter.outputs.len());
        output
    }
}

impl State for Scalar {
    fn state(&mut self, visit: &mut Visit) {
        visit.numbers("inputs", &mut self.inputs);
        visit.numbers("outputs", &mut self.outputs);
    }
}

struct Link {
    settings: Doppler,
    /// Earlier gradients, newest first.
    inputs: Vec<Option<Grads>>,
    /// Earlier outputs, newest first.
    outputs: Vec<Option<Grads>>,
    /// The filter on a constant one.
    ones: Scalar,
    /// The filter on a single one.
    impulse: Scalar,
    /// The sum of the squared impulse response so far.
    gain: f64,
    age: u64,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        for (kind, list) in [("input", &mut self.inputs), ("output", &mut self.outputs)] {
            list.iter_mut().enumerate().for_each(|(k, slot)| visit.grads(&format!("{kind}.{k}"), slot));
        }
        visit.part("ones", &mut self.ones);
        visit.part("impulse", &mut self.impulse);
        visit.number("gain", &mut self.gain);
        visit.count("age", &mut self.age);
    }
}

impl Update for Link {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let Doppler { inputs: b, outputs: a } = &self.settings;
        let mut m = privacy::Sum::scale(g.clone(), b[0]);
        let past = b[1..].iter().zip(&self.inputs).chain(a.iter().zip(&self.outputs));
        let signs = std::iter::repeat_n(1.0, b.len() - 1).chain(std::iter::repeat(-1.0));
        for ((weight, earlier), sign) in past.zip(signs) {
            let weight = (sign * weight) as f32;
            earlier.iter().for_each(|earlier| m.zip_with(earlier, |m, x| *m += weight * x));
        }
        push(&mut self.inputs, g);
        push(&mut self.outputs, m.clone());
        let h = self.impulse.next(&self.settings, f64::from(u8::from(self.age == 0)));
        let through = self.ones.next(&self.settings, 1.0);
        (self.gain, self.age) = (self.gain + h * h, self.age + 1);
        now.noise *= self.gain.sqrt() / through.abs();
        privacy::Sum::scale(m, 1.0 / through)
    }
}

/// Puts the newest in front and drops the oldest.
fn push(slots: &mut [Option<Grads>], newest: Grads) {
    if let Some(last) = slots.last_mut() {
        *last = Some(newest);
        slots.rotate_right(1);
    }
}
