//! What one pass through a model carries from layer to layer, and from forward to backward.
use engine::op::Present;
use privacy::{Key, Purpose, Stream};
use std::{any::Any, sync::Arc};

/// The coins of dropout: for each example of the batch its own, whatever else is in the batch.
///
/// # Why this is private
/// *Claim.* An example's clipped gradient is a function of that example, the weights and its own coins.
/// *Argument.* A coin is looked up by (key, step, layer, number of the example in the data set, position): leaving another
/// example out of the lot changes none of them. Where people have several records, each has the person's number times the places of
/// each, and its place among the person's own.
pub struct Coins {
    /// The run's key.
    pub key: Arc<Key>,
    /// The step.
    pub step: u64,
    /// The number of each example of the batch in the data set.
    pub who: Vec<usize>,
}

impl Coins {
    /// The stream of the `layer`-th layer that flips coins, and where example `row`'s stretch of `width` words begins.
    pub fn stream(&self, layer: usize) -> Stream {
        self.key.stream(Purpose::Dropout, self.step, (layer % 256) as u8)
    }
    /// Where the words of the batch's `row`-th example begin, if each has `width` of them.
    pub fn at(&self, layer: usize, row: usize, width: usize) -> u64 {
        (((layer / 256) as u64) << 48) | (self.who[row] as u64).wrapping_mul(width as u64)
    }
}

/// One pass through a model: what forward leaves for backward (a stack, popped in the opposite order; kept in training
/// only), which positions hold a token, and the coins of dropout.
///
/// Where no gradient will arrive, nothing is kept: below the lowest trained parameter.
pub struct Keep {
    /// Whether the layer now at work will be asked for the gradient with respect to its input, as `Taps::input_wanted` says in backward.
    pub input_wanted: bool,
    muted: bool,
    stack: Option<Vec<Box<dyn Any + Send>>>,
    present: Option<Arc<Present>>,
    coins: Option<Coins>,
    flippers: usize,
}

impl Keep {
    /// Keeps what it is given; layers that need coins go without them (dropout does nothing).
    pub fn training() -> Self {
        Keep { input_wanted: true, muted: false, stack: Some(Vec::new()), present: None, coins: None, flippers: 0 }
    }
    /// Keeps what it is given, and hands out coins.
    pub fn with_coins(coins: Coins) -> Self {
        Keep { coins: Some(coins), ..Self::training() }
    }
    /// Keeps nothing.
    pub fn evaluation() -> Self {
        Keep { stack: None, ..Self::training() }
    }
    /// Whether a backward pass will follow.
    pub fn is_training(&self) -> bool {
        self.stack.is_some() && !self.muted
    }
    /// Lets `work` go by without keeping anything of it, where no gradient will arrive.
    pub(crate) fn muted<T>(&mut self, nothing_arrives: bool, work: impl FnOnce(&mut Keep) -> T) -> T {
        let before = self.muted;
        self.muted |= nothing_arrives;
        let done = work(self);
        self.muted = before;
        done
    }
    /// Leaves something for backward; `value` is not called in evaluation.
    pub fn push<T: Any + Send>(&mut self, value: impl FnOnce() -> T) {
        if let Some(stack) = self.stack.as_mut().filter(|_| !self.muted) {
            stack.push(Box::new(value()));
        }
    }
    /// Takes back what this layer's forward pushed last.
    ///
    /// # Panics
    /// If the layer pushed something else, or nothing: a fault of the layer's own two functions.
    pub fn pop<T: Any>(&mut self) -> T {
        let top = self.stack.as_mut().and_then(Vec::pop).and_then(|kept| kept.downcast().ok());
        *top.unwrap_or_else(|| panic!("backward wants a {} that forward did not keep", std::any::type_name::<T>()))
    }
    /// Says which positions of the batch hold a token, `[n, t]` row by row, for the layers that follow.
    pub fn set_present(&mut self, present: Present) {
        self.present = Some(Arc::new(present));
    }
    /// Which positions hold a token, `[n, t]` row by row; none means that all do.
    pub fn present(&self) -> Option<Arc<Present>> {
        self.present.clone()
    }
    /// The coins of the layer that asks, and its number; none in evaluation.
    pub fn coins(&mut self) -> Option<(&Coins, usize)> {
        self.flippers += 1;
        self.coins.as_ref().map(|coins| (coins, self.flippers - 1))
    }
}
