// Hopper's copy engine: boxes of matrices to the shared memory of one block or of two that run side by side (a cluster), and the
// barriers that tell when they are there.

// How the engine is told of a matrix `[n, t, width]`: made by the driver (`cuda/boxes.rs`).
struct __align__(128) Boxed {
    u64 words[16];
};

__device__ __forceinline__ u32 shared_at(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// A barrier whose phase ends after `count` arrivals, and after all bytes that it was told to expect.
__device__ __forceinline__ void start_barrier(u64* barrier, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_at(barrier)), "r"(count) : "memory");
}
// Barriers that were started are seen by the engine and by the other block.
__device__ __forceinline__ void show_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void await(u64* barrier, u32 parity) {
    asm volatile("{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra done;\nbra again;\ndone:\n}\n" ::"r"(
                     shared_at(barrier)),
                 "r"(parity)
                 : "memory");
}
__device__ __forceinline__ void arrive_expecting(u64* barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_at(barrier)), "r"(bytes) : "memory");
}
// At the barrier in the same place of block `rank` of the cluster.
__device__ __forceinline__ void arrive_at(u64* barrier, u32 rank) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n}\n" ::"r"(shared_at(barrier)),
                 "r"(rank)
                 : "memory");
}

__device__ __forceinline__ u32 rank_in_cluster() {
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
// All threads of all blocks of the cluster.
__device__ __forceinline__ void meet_cluster() {
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// A matrix's words, which a copy or a kernel wrote before this one, are seen by the engine.
__device__ __forceinline__ void see(const Boxed* matrix) {
    asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" ::"l"(matrix) : "memory");
}
// The box that begins at column `x`, row `y` of example `z`; to this block, or to the same place of all blocks of `mask`, whose
// barriers in that place are told. What lies beyond the matrix becomes 0.
__device__ __forceinline__ void copy_box(u32* to, const Boxed* matrix, int x, int y, int z, u64* barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                     shared_at(to)),
                 "l"(matrix), "r"(shared_at(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}
__device__ __forceinline__ void copy_box(u32* to, const Boxed* matrix, int x, int y, int z, u64* barrier, u32 mask) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
                 "[%1, {%3, %4, %5}], [%2], %6;" ::"r"(shared_at(to)),
                 "l"(matrix), "r"(shared_at(barrier)), "r"(x), "r"(y), "r"(z), "h"((unsigned short)mask)
                 : "memory");
}
// The same for what nobody will read again: the second cache keeps other things before it.
__device__ __forceinline__ void copy_box_once(u32* to, const Boxed* matrix, int x, int y, int z, u64* barrier, u32 mask) {
    u64 first_out;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(first_out));
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint [%0], "
                 "[%1, {%3, %4, %5}], [%2], %6, %7;" ::"r"(shared_at(to)),
                 "l"(matrix), "r"(shared_at(barrier)), "r"(x), "r"(y), "r"(z), "h"((unsigned short)mask), "l"(first_out)
                 : "memory");
}
