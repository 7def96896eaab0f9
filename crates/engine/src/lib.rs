//! The engine of Secateur: what must be fast.
//!
//! Contiguous tensors, and for every operation a forward and a backward as free functions. There is no graph, no
//! automatic differentiation and nothing lazy. What a private step needs beyond an ordinary one - the norm of each
//! example's own gradient, and one weighted sum of them - is in [`op::per_example`].
//!
//! The engine makes no privacy decisions. Two properties, though, are promised to the layers that do:
//! * the result for example `i` depends on example `i` alone (no operation mixes rows of a batch, except the weighted
//!   sums, whose purpose that is, and which skip rows of weight exactly 0 even if those hold NaN);
//! * results do not depend on the number of threads: work is cut into blocks by shape, and partial sums are added in a
//!   fixed order.
//!
//! Wrong shapes are programmer errors and panic with a message that names them; the layers above validate what users
//! configure. Work runs on rayon's current thread pool; vector instructions are chosen at run time.

mod cuda;
mod device;
mod dtype;
mod kernel;
mod mat;
mod math;
mod matmul;
mod memory;
mod narrow;
pub mod op;
mod part;
mod tensor;
mod window;

pub use cuda::{DeviceError, Gpu, Group, Precision, Ranks, Taken, Usage, guard};
pub use device::Device;
pub(crate) use dtype::Dtype;
pub use kernel::Level;
pub use mat::Mat;
pub use matmul::{Threads, product};
pub use memory::Indices;
pub use part::{Part, PartMut, Span};
pub use tensor::Tensor;
pub use window::Window;
