//! Several devices at one lot: each has the weights and looks at its share of the examples; the first leads. Where several
//! processes are at it (`world`), each has such a team.
//!
//! In a step every device clips and adds up its own share, and the shares' sums are merged into one lot, with which all that follows
//! happens as if the leader were alone: the one charge, the noise, the updates. Where the lot's sum is still summands on several GPUs
//! when a step is made of it, these take the step together (`Grads::walk`); else the leader does, and its weights are handed out.
//!
//! # Why this is private
//! *Claim.* A lot that was shared out is released as any lot is: each example is in it once, clipped to the bound; noise of
//! the full deviation is added once to the whole; the ledger is charged once.
//! *Argument.* [`Draw::shares`] puts each drawn example into one piece of one share. A share's sum is what
//! `clip::contribute` makes of its pieces, with the one rule of the run, which devices see by `&self`; answers to a rule's
//! questions, crowds and memories are parts of it. Sums of shares are merged as sums of chunks are, into ONE secret lot;
//! only that is closed and vouched for, once, so that the bound is a bound on the whole. There is one trainer with one
//! mechanism, one key and one ledger: one release, of the merged lot, whose veil lies over the sum and not over summands. Which GPU adds
//! numbers up and makes their noise does not matter, since noise is a function of the place and every place is in one GPU's part
//! (`engine::op::noised_walk`). (Were noise made on each of `n` devices, the sum would carry `sqrt(n)` times what
//! was charged, or, split among them, each share would have to be trusted to arrive.) The others get nothing but weights, which are
//! released. Sums are f32 on all devices; merging adds `n - 1` roundings to those of chunks, of which the page of `clip` says what is claimed.
//! *Tests.* `shares_hold_every_row_once_and_are_even` (privacy crate); `tests/team.rs`: the same ledger, the same noise and the
//! same weights as one device's for every rule, and a neighbour moves the released sum by no more than the bound.
use crate::{
    clip::{ClipRule, Lot},
    grads::Grads,
    model::Weights,
    world::World,
};
use engine::{Device, DeviceError, Group, op};
use privacy::{Draw, Privatized, Secret};
use std::{panic, sync::Arc};

/// One share of a draw: its pieces.
pub(crate) type Share = Vec<Secret<Vec<usize>>>;

/// The devices of a run.
pub struct Team {
    /// None for one device, which needs nobody to work with.
    group: Option<Arc<Group>>,
    others: Vec<Member>,
    /// Other processes, whose teams have shares too.
    world: Option<World>,
    /// The shares of each lot, in all processes, and how many of them come before this team's.
    shares: usize,
    before: usize,
}

/// A device besides the leader.
struct Member {
    weights: Weights,
    /// Threads of its own, from which its work is launched.
    pool: rayon::ThreadPool,
}

impl Team {
    /// The trainer's device and no other.
    pub fn alone() -> Team {
        Team { group: None, others: Vec::new(), world: None, shares: 1, before: 0 }
    }

    /// These devices; the first is where `weights` are. Several processors are as good as one: tests use them.
    ///
    /// # Errors
    /// If they cannot work together, or their threads cannot be started.
    pub fn new(devices: &[Device], weights: &Weights) -> Result<Team, DeviceError> {
        if devices.len() == 1 {
            return Ok(Team::alone());
        }
        let group = Group::new(devices)?;
        let threads = (rayon::current_num_threads() / devices.len()).max(1);
        let member = |device: &Device| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|e| DeviceError(format!("{device}: its threads: {e}")))?;
            let weights = engine::guard(|| weights.clone().to(*device))?;
            Ok(Member { weights, pool })
        };
        let others = devices[1..].iter().map(member).collect::<Result<_, DeviceError>>()?;
        Ok(Team { group: Some(Arc::new(group)), others, world: None, shares: devices.len(), before: 0 })
    }

    /// This team as one of several processes' ones, which all have the same `weights`.
    ///
    /// # Errors
    /// If a process was lost, or their GPUs cannot be connected.
    pub(crate) fn among(mut self, mut world: World, weights: &Weights) -> Result<Team, DeviceError> {
        let mut each = vec![0.0; world.size()];
        each[world.rank()] = self.len() as f64;
        let each = world.total(&each)?;
        self.shares = each.iter().sum::<f64>() as usize;
        self.before = each[..world.rank()].iter().sum::<f64>() as usize;
        let alike = "start all with the same seed and the same model.weights";
        let norms: Vec<u8> = weights.all().flat_map(|(_, tensor)| op::square(tensor).to_le_bytes()).collect();
        world.agree(("starting point", alike), &norms)?;
        world.connect(weights.layout().device())?;
        self.world = Some(world);
        Ok(self)
    }

    /// Gives the other devices copies of other weights: frozen ones, too, which no step hands out.
    pub(crate) fn follow(&mut self, weights: &Weights) {
        for member in &mut self.others {
            let device = member.weights.layout().device();
            member.weights = weights.clone().to(device);
        }
    }

    /// Which process this is; 0 where there is one.
    pub fn rank(&self) -> usize {
        self.world.as_ref().map_or(0, World::rank)
    }

    /// Whether a rule's lots can be merged: between processes only sums can.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn suits(&self, rule: &dyn ClipRule) -> Result<(), DeviceError> {
        let wrong = |what| {
            Err(DeviceError(format!(
                "clip: {what}, which several processes cannot do together: use the GPUs of one host"
            )))
        };
        match &self.world {
            Some(_) if rule.crowds().is_some() => wrong("this rule clips means of crowds of a lot's examples"),
            Some(_) if rule.remembers() => wrong("this rule remembers secrets of single examples"),
            _ => Ok(()),
        }
    }

    /// Sees to it that every process took the same step.
    ///
    /// # Panics
    /// With a [`DeviceError`] if one did not, or was lost.
    pub(crate) fn agree(&self, step: &Grads) {
        if let Some(world) = &self.world {
            let alike = "use GPUs of one kind on all hosts, and one version of the program";
            whole(world.agree(("step", alike), &step.norm().to_le_bytes()));
        }
    }

    /// Whether there is one device in one process.
    pub(crate) fn is_alone(&self) -> bool {
        self.group.is_none() && self.world.is_none()
    }

    /// How many devices.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.others.len() + 1
    }

    /// What `work` makes of each share of the draw with its device's weights, the leader's first. The others' weights are
    /// brought up to the leader's before.
    pub(crate) fn each<T: Send>(
        &mut self,
        weights: &Weights,
        draw: &Draw,
        piece: usize,
        work: impl Fn(&Weights, Share) -> T + Sync,
    ) -> Vec<T> {
        let mut shares = draw.shares(self.shares, piece).into_iter().skip(self.before);
        let own = shares.next().unwrap_or_default();
        self.bring_up(weights);
        std::thread::scope(|scope| {
            let work = &work;
            let helpers = self.others.iter_mut().zip(shares);
            let started: Vec<_> = helpers
                .map(|(Member { weights, pool }, share)| {
                    scope.spawn(move || {
                        pool.install(|| {
                            weights.settle();
                            work(weights, share)
                        })
                    })
                })
                .collect();
            let first = panic::catch_unwind(panic::AssertUnwindSafe(|| work(weights, own)));
            // All of them end before the first failure goes on its way.
            let all: Vec<_> = std::iter::once(first).chain(started.into_iter().map(|thread| thread.join())).collect();
            all.into_iter().map(|done| done.unwrap_or_else(|failure| panic::resume_unwind(failure))).collect()
        })
    }

    /// The leader's weights for everybody, where somebody has others.
    fn bring_up(&mut self, weights: &Weights) {
        let Some(group) = &self.group else { return };
        if self.others.iter().any(|member| !member.weights.is_copy_of(weights)) {
            let mut lists: Vec<_> = self.others.iter_mut().map(|member| member.weights.storage()).collect();
            group.hand_out(weights.tensors(), &mut lists);
            self.others.iter_mut().for_each(|member| member.weights.are_copied(weights));
        }
    }

    /// Has the leader's weights take a step, and the others' with them where the step's numbers stand on their devices too.
    pub(crate) fn walk(&mut self, weights: &mut Weights, step: &Privatized<Grads>) {
        let others = self.others.iter_mut().map(|member| &mut member.weights);
        Weights::walk_together(&mut std::iter::once(weights).chain(others).collect::<Vec<_>>(), step);
    }

    /// Shares' lots as one, its sums on the leader.
    pub(crate) fn merge(&self, lots: Vec<Lot>) -> Lot {
        Lot::gather(lots, self)
    }

    /// NOT PRIVATE: shares' plain sums as one.
    pub(crate) fn merge_plain(&self, sums: Vec<Secret<Grads>>) -> Secret<Grads> {
        collect(sums).map(|sums| self.sum(sums))
    }

    /// Sums of shares as one, of every process's: on the leader.
    ///
    /// # Panics
    /// With a [`DeviceError`] if a process was lost.
    pub(crate) fn sum(&self, mut sums: Vec<Grads>) -> Grads {
        let here = match &self.group {
            None => sums.swap_remove(0),
            Some(group) => Grads::apart(sums, group),
        };
        match &self.world {
            None => here,
            Some(world) => Grads::gather(vec![here], |mut here| whole(world.sum(here.swap_remove(0)))),
        }
    }

    /// This team's numbers, added to those of the other processes.
    ///
    /// # Panics
    /// As [`Team::sum`].
    pub(crate) fn total(&self, here: Vec<f64>) -> Vec<f64> {
        match &self.world {
            Some(world) if !here.is_empty() => whole(world.total(&here)),
            _ => here,
        }
    }
}

/// What the processes made together. That one was lost is a failure of a device: `engine::guard` makes an error of it.
fn whole<T>(made: Result<T, DeviceError>) -> T {
    made.unwrap_or_else(|lost| panic::panic_any(lost))
}

/// Several secrets as one.
pub(crate) fn collect<T>(all: Vec<Secret<T>>) -> Secret<Vec<T>> {
    all.into_iter().fold(Secret::new(Vec::new()), |all, one| {
        all.join(one).map(|(mut all, one)| {
            all.push(one);
            all
        })
    })
}
