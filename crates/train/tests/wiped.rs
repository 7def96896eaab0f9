//! What a key passes through between processes is wiped before its memory is given back.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};
use train::world::{Place, World};

/// How long a key is.
const LENGTH: usize = 32;

/// How much memory was given back with a key in it.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Looks through what is given back.
struct Looking;

/// The key of a rank: bytes that stand nowhere else, odd ones in order.
fn key(rank: usize) -> [u8; LENGTH] {
    std::array::from_fn(|k| (64 * rank + 2 * k + 1) as u8)
}

fn holds_a_key(bytes: &[u8]) -> bool {
    bytes.windows(LENGTH).any(|window| [0, 1].iter().any(|rank| key(*rank) == *window))
}

// SAFETY: every call is handed on to the system's allocator, zeroed, so that all that is looked at later was written; blocks are
// looked at while they are still the caller's. Large ones are passed over, which no key is in.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if (LENGTH..4096).contains(&layout.size()) {
            let bytes = unsafe { std::slice::from_raw_parts(at, layout.size()) };
            LEFT.fetch_add(usize::from(holds_a_key(bytes)), Relaxed);
        }
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static LOOKING: Looking = Looking;

/// How many blocks with a key two processes gave back that came to rank 0's key by `share`.
fn left(share: impl Fn(&World, &mut [u8; LENGTH]) + Sync) -> usize {
    let master = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (master, share) = (&master, &share);
    LEFT.store(0, Relaxed);
    thread::scope(|scope| {
        let process = |rank: usize| {
            let place = Place { rank, size: 2, master: master.clone() };
            scope.spawn(move || {
                let (world, mut own) = (World::meet(place).unwrap(), key(rank));
                share(&world, &mut own);
                assert_eq!(own, key(0));
            })
        };
        [process(0), process(1)].map(|process| process.join().unwrap())
    });
    LEFT.load(Relaxed)
}

/// A process that comes to its end in the middle of it, as the other ones meet it: it says `parts`, each with the length that it claims.
fn dies(mut stream: TcpStream, parts: &[(u64, &[u8])]) {
    let mut wait = [0; 8];
    for (length, part) in parts {
        stream.write_all(&length.to_le_bytes()).unwrap();
        stream.write_all(part).unwrap();
        // Whatever is answered: an empty greeting, if anything.
        let _ = stream.read(&mut wait);
    }
}

/// How many blocks with a key were given back by a process whose partner was lost while the key was shared.
fn left_by_the_other(rank: usize) -> usize {
    let master = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let here = Place { rank, size: 2, master: master.clone() };
    LEFT.store(0, Relaxed);
    thread::scope(|scope| {
        scope.spawn(move || {
            let (world, mut own) = (World::meet(here).unwrap(), key(rank));
            assert!(world.share(&mut own).is_err());
            own.fill(0);
        });
        scope.spawn(move || match rank {
            0 => {
                let greeting = format!("secateur {} 1 2", env!("CARGO_PKG_VERSION"));
                let stream = (0..500).find_map(|_| {
                    thread::sleep(std::time::Duration::from_millis(10));
                    TcpStream::connect(&master).ok()
                });
                dies(stream.unwrap(), &[(greeting.len() as u64, greeting.as_bytes())]);
            }
            // Rank 0: a greeting, and more than a key that is said to be longer still.
            _ => {
                let (stream, _) = TcpListener::bind(&master).unwrap().accept().unwrap();
                dies(stream, &[(0, &[]), (LENGTH as u64 + 8, &key(0))]);
            }
        });
    });
    LEFT.load(Relaxed)
}

/// One test, since all look at one allocator.
#[test]
fn a_shared_key_is_left_nowhere() {
    assert_eq!(left(|world, own| world.share(own).unwrap()), 0);
    assert_eq!([left_by_the_other(0), left_by_the_other(1)], [0, 0]);
    // A copy that nobody wipes is noticed, in each process.
    let noticed = left(|world, own| {
        world.share(own).unwrap();
        drop(std::hint::black_box(own.to_vec()));
    });
    assert!(noticed >= 2, "{noticed}");
}
