//! Several processes at one run, on one host or many: each has the data and the weights, and every step's lot is shared out.
//!
//! Rank 0 waits at an address for the others. Whatever they do together is a [`World::round`]: each hands rank 0 a message,
//! and all get the same answer. Sums of gradients go from GPU to GPU by NCCL where every process has one and the library, and
//! through rounds otherwise.
//!
//! # Why this is private
//! *Claim.* A run of several processes releases what a run of one would: each drawn example is in the lot once, noise of the
//! full deviation is added once, and rank 0's ledger, the only one on disk, is charged for it before.
//! *Argument.* All have one key, rank 0's, so that all make the same draw; each looks at its own shares of it
//! (`Draw::shares`). Sums are merged BEFORE anything is released, and every process gets the same bits. Every process then
//! makes the same release of the same sum: the noise is a function of the key and the step, so that what comes out is one
//! number in several places, not several releases; that it is one is not taken on trust but compared after each step, and a
//! difference ends the run. Rank 0's charge is on disk before its release returns, and nobody else's numbers leave their
//! process: results are written by rank 0. The processes compare their configurations and their data first: were rows
//! numbered differently on two hosts, a person could be drawn twice.
//! *Not claimed.* Messages are neither encrypted nor signed, as NCCL's are not: gradients and the key pass over the network
//! between the hosts, which has to be as trusted as they are.
//! *Tests.* `tests/world.rs`: ledger, weights and noise are one process's; a lost process, other data, another configuration and
//! numbers that differ end the run.
mod place;
mod wire;

use engine::{DeviceError, Ranks, Tensor};
pub use place::Place;
use std::{
    net::TcpListener,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use wire::{Wire, said};
use zeroize::Zeroizing;

/// How long processes wait for each other at the start.
const PATIENCE: Duration = Duration::from_secs(600);
/// What every process says first.
const GREETING: &str = concat!("secateur ", env!("CARGO_PKG_VERSION"), " ");

/// What processes tell each other: wiped when it is dropped, since it may be a key, on whatever way.
pub type Message = Zeroizing<Vec<u8>>;

/// This process and the way to the others.
pub struct World {
    place: Place,
    /// Rank 0: to ranks 1, 2, ...; the others: to rank 0.
    wires: Mutex<Vec<Wire>>,
    /// Sums from GPU to GPU.
    ranks: Option<Ranks>,
}

fn failed(what: impl Into<String>) -> DeviceError {
    DeviceError(what.into())
}

impl World {
    /// Meets the others.
    ///
    /// # Errors
    /// If somebody does not come, or is not of this run.
    pub fn meet(place: Place) -> Result<World, DeviceError> {
        let wires = if place.rank == 0 { gather(&place)? } else { vec![report(&place)?] };
        Ok(World { place, wires: Mutex::new(wires), ranks: None })
    }

    /// Which of the processes this is.
    pub fn rank(&self) -> usize {
        self.place.rank
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.place.size
    }

    /// Every process's message, in order of ranks, made into one answer by rank 0, which all get.
    ///
    /// # Errors
    /// If a process was lost.
    pub fn round(&self, mine: Message, answer: impl FnOnce(Vec<Message>) -> Message) -> Result<Message, DeviceError> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        if self.place.rank > 0 {
            let told = wires[0].send(&mine).and_then(|()| wires[0].receive());
            return told.map_err(|e| self.lost(0, &said(&e)));
        }
        let mut all = vec![mine];
        for (k, wire) in wires.iter_mut().enumerate() {
            all.push(wire.receive().map_err(|e| self.lost(k + 1, &said(&e)))?);
        }
        let answer = answer(all);
        for (k, wire) in wires.iter_mut().enumerate() {
            wire.send(&answer).map_err(|e| self.lost(k + 1, &said(&e)))?;
        }
        Ok(answer)
    }

    fn lost(&self, rank: usize, why: &str) -> DeviceError {
        let (size, master) = (self.place.size, &self.place.master);
        failed(format!("rank {rank} of {size} (rank 0 is at {master}) was lost: {why}"))
    }

    /// The first process that is gone, if one is.
    fn gone(&self) -> Option<usize> {
        let wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        let first = usize::from(self.place.rank == 0);
        wires.iter().position(Wire::is_closed).map(|k| k + first)
    }

    /// Ends the run where `mine` is not what rank 0 has: `what` it is, and what to do about it.
    ///
    /// # Errors
    /// Names the first rank that differs, in every process.
    pub fn agree(&self, (what, advice): (&str, &str), mine: &[u8]) -> Result<(), DeviceError> {
        let odd = |all: Vec<Message>| {
            let odd = all.iter().position(|one| *one != all[0]);
            (odd.unwrap_or(0) as u64).to_le_bytes().to_vec().into()
        };
        match numbers(&self.round(mine.to_vec().into(), odd)?, u64::from_le_bytes)[..] {
            [0] => Ok(()),
            [odd] => Err(failed(format!("rank {odd}'s {what} is not rank 0's: {advice}"))),
            _ => Err(failed("rank 0 does not follow the protocol")),
        }
    }

    /// Rank 0's bytes.
    ///
    /// # Errors
    /// If a process was lost.
    pub fn from_first(&self, mine: &[u8]) -> Result<Message, DeviceError> {
        self.round(mine.to_vec().into(), |mut all| all.swap_remove(0))
    }

    /// Puts rank 0's secret in the place of everybody's; what the messages were in is wiped, also where a process is lost.
    ///
    /// # Errors
    /// If a process was lost.
    pub fn share(&self, secret: &mut [u8]) -> Result<(), DeviceError> {
        // What the others have is of no use to anybody: it stays where it is.
        let answer = self.from_first(if self.place.rank == 0 { secret } else { &[] })?;
        if answer.len() != secret.len() {
            return Err(failed("rank 0 does not follow the protocol"));
        }
        secret.copy_from_slice(&answer);
        Ok(())
    }

    /// Sums over all processes, in order of ranks.
    ///
    /// # Errors
    /// If a process was lost.
    pub fn total(&self, mine: &[f64]) -> Result<Vec<f64>, DeviceError> {
        let bytes = mine.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into();
        let add = |all: Vec<Message>| sums(&all, f64::from_le_bytes, f64::to_le_bytes);
        Ok(numbers(&self.round(bytes, add)?, f64::from_le_bytes))
    }

    /// The sum of a tensor over all processes, where this one's is: the same bits everywhere.
    ///
    /// # Errors
    /// If a process was lost.
    pub(crate) fn sum(&self, mut mine: Tensor) -> Result<Tensor, DeviceError> {
        if let Some(ranks) = self.ranks.as_ref().filter(|ranks| ranks.device() == mine.device()) {
            // A round first: whoever is lost until here is named, and nobody waits for it on the GPU.
            self.agree(("number of parameters", "start all with the same model"), &mine.len().to_le_bytes())?;
            let gone = std::cell::Cell::new(None);
            let summed = ranks.sum(&mut mine, || {
                gone.set(self.gone());
                gone.get().is_some()
            });
            return match gone.get() {
                Some(rank) => Err(self.lost(rank, "its process ended")),
                None => summed.map(|()| mine),
            };
        }
        let (device, shape) = (mine.device(), mine.shape().to_vec());
        let bytes = mine.to_host().data().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into();
        let add = |all: Vec<Message>| sums(&all, f32::from_le_bytes, f32::to_le_bytes);
        let sum = numbers(&self.round(bytes, add)?, f32::from_le_bytes);
        if sum.len() != mine.len() {
            return Err(failed("the processes have different numbers of parameters"));
        }
        Ok(Tensor::new(shape, sum).to(device))
    }

    /// Connects the GPUs that `device` is one of, if every process has one and NCCL.
    ///
    /// # Errors
    /// If a process was lost, or NCCL cannot connect them.
    pub(crate) fn connect(&mut self, device: engine::Device) -> Result<(), DeviceError> {
        let able = device.gpu().filter(|_| Ranks::available());
        let all = self.total(&[f64::from(u8::from(able.is_some()))])?;
        let Some(gpu) = able.filter(|_| all == [self.place.size as f64]) else { return Ok(()) };
        let id = if self.place.rank == 0 { Ranks::new_id()? } else { Vec::new() };
        let id = self.from_first(&id)?;
        self.ranks = Some(Ranks::join(gpu, self.place.rank, self.place.size, &id)?);
        Ok(())
    }
}

/// Rank 0 waits for all others.
fn gather(place: &Place) -> Result<Vec<Wire>, DeviceError> {
    let here = |e: std::io::Error| failed(format!("rank 0 cannot wait at {}: {e}", place.master));
    let listener = TcpListener::bind(&place.master).map_err(here)?;
    let mut seats: Vec<Option<Wire>> = (1..place.size).map(|_| None).collect();
    while let Some(missing) = seats.iter().position(Option::is_none) {
        let late = |_| failed(format!("rank {} of {} did not come to {}", missing + 1, place.size, place.master));
        let (mut wire, greeting) = Wire::accept(&listener, PATIENCE).map_err(late)?;
        let Some(greeting) = greeting else { continue };
        let rank = taken(place, &greeting, &seats);
        let answer = rank.as_ref().err().cloned().unwrap_or_default();
        if wire.send(answer.as_bytes()).is_ok() {
            seats[rank.map_err(failed)? - 1] = Some(wire);
        }
    }
    Ok(seats.into_iter().flatten().collect())
}

/// The rank that somebody who greets takes, or why he cannot.
fn taken(place: &Place, greeting: &[u8], seats: &[Option<Wire>]) -> Result<usize, String> {
    let text = String::from_utf8_lossy(greeting);
    let said =
        text.strip_prefix(GREETING).ok_or("a process of another version of secateur, or of something else, came")?;
    let (rank, size) = said.split_once(' ').ok_or("a greeting without a rank")?;
    if size != place.size.to_string() {
        return Err(format!("rank {rank} takes part in a run of {size} processes, rank 0 in one of {}", place.size));
    }
    let rank: usize = rank.parse().map_err(|_| format!("`{rank}` is no rank"))?;
    match rank.checked_sub(1).and_then(|k| seats.get(k)) {
        Some(None) => Ok(rank),
        _ => Err(format!("two processes are rank {rank}")),
    }
}

/// Another rank reports to rank 0.
fn report(place: &Place) -> Result<Wire, DeviceError> {
    let away = |e: std::io::Error| failed(format!("rank {}: rank 0 is not at {}: {e}", place.rank, place.master));
    let mut wire = Wire::connect(&place.master, PATIENCE).map_err(away)?;
    wire.send(format!("{GREETING}{} {}", place.rank, place.size).as_bytes()).map_err(away)?;
    let answer = wire.receive().map_err(|e| failed(format!("rank 0 at {}: {}", place.master, said(&e))))?;
    if answer.is_empty() { Ok(wire) } else { Err(failed(String::from_utf8_lossy(&answer))) }
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

/// Numbers added up, message by message.
fn sums<T: std::ops::AddAssign, const N: usize>(
    all: &[Message],
    read: fn([u8; N]) -> T,
    write: fn(T) -> [u8; N],
) -> Message {
    let mut all = all.iter().map(|bytes| numbers(bytes, read));
    let mut sum = all.next().unwrap_or_default();
    for one in all {
        // A message of another length makes the answer as short, which whoever asked will notice.
        sum.truncate(one.len());
        sum.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
    }
    sum.into_iter().flat_map(write).collect::<Vec<u8>>().into()
}
