// The activation behind a convolution. ACTIVATION: 0 none, 1 max(x, 0), 2 tanh; for numbers that are rounded to bf16 then by the
// processor's own instruction, which is right to eleven bits where eight are kept.

__device__ __forceinline__ float activation(float x) {
#if ACTIVATION == 1
    return x < 0.0f ? 0.0f : x;
#elif ACTIVATION == 2
    if (sizeof(number) == 4) return tanhf(x);
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return x;
#endif
}
