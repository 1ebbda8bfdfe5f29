// The elementwise passes between the learner's matrix products, each one sweep over memory.
//
// T is the type of sums, parameters and moments; S that of the products' operands and results. Arrays are
// dense and row-major. Compiled for this very processor by compiled.py; torch_kernels.py is the same in torch.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

struct bfloat16 {
    uint16_t bits;
};

inline float value_of(float x) { return x; }
inline double value_of(double x) { return x; }
inline float value_of(bfloat16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline void put(float& to, float x) { to = x; }
inline void put(double& to, double x) { to = x; }
inline void put(bfloat16& to, float x) {  // to the nearest, ties to even
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    to.bits = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Numbers below the smallest normal one count as 0 meanwhile: the moments of units that are never active
// decay into them, never reach 0, and cost some processors a hundred cycles each.
class FlushDenormals {
#if defined(__SSE2__)
    const unsigned before_ = _mm_getcsr();

public:
    FlushDenormals() { _mm_setcsr(before_ | 0x8040u); }
    ~FlushDenormals() { _mm_setcsr(before_); }
#endif
};

// The dropped units of one layer of one critic, as ascending positions in its (rows, width) array.
struct Dropped {
    const int32_t* next;
    const int32_t* end;
    Dropped(const int32_t* positions, const int64_t* edges) : next(positions + edges[0]), end(positions + edges[1]) {}

    template <class Act>
    void in_row(int64_t row, int64_t width, Act act) {
        for (; next < end && *next < (row + 1) * width; ++next) act(*next - row * width);
    }
};

// (z + bias) * keep, dropped units to 0, normalised over the row, scaled, shifted, rectified. z becomes the
// normalised rows; the result goes to h, or where h is null only its product with `head` to value, (rows,).
template <class T, class S>
void norm(S* z, const T* bias, const T* scale, const T* shift, S* h, const T* head, const T* head_bias, T* value,
          T* deviation, int64_t rows, int64_t width, T epsilon, T keep, const int32_t* positions,
          const int64_t* edges) {
    std::vector<T> buffer(width);
    T* x = buffer.data();
    Dropped dropped(positions, edges);
    for (int64_t i = 0; i < rows; ++i, z += width) {
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < width; ++j) {
            x[j] = (value_of(z[j]) + bias[j]) * keep;
            sum += x[j];
        }
        dropped.in_row(i, width, [&](int64_t j) {
            sum -= x[j];
            x[j] = 0;
        });
        const T mean = sum / width;
        T square = 0;
#pragma omp simd reduction(+ : square)
        for (int64_t j = 0; j < width; ++j) square += (x[j] - mean) * (x[j] - mean);
        const T r = 1 / std::sqrt(square / width + epsilon);
        deviation[i] = r;
        if (h != nullptr) {
#pragma omp simd
            for (int64_t j = 0; j < width; ++j) {
                const T n = (x[j] - mean) * r, y = n * scale[j] + shift[j];
                put(z[j], n);
                put(h[j], y < 0 ? T(0) : y);
            }
            h += width;
        } else {
            T product = 0;
#pragma omp simd reduction(+ : product)
            for (int64_t j = 0; j < width; ++j) {
                const T n = (x[j] - mean) * r, y = n * scale[j] + shift[j];
                put(z[j], n);
                product += (y < 0 ? T(0) : y) * head[j];
            }
            value[i] = product + head_bias[0];
        }
    }
}

// Backwards through norm. z: the normalised rows, becomes the gradient by what norm was given. With `up`, the
// gradient by h; without, that by value is gain * (value - target), or gain where target is null. Gradients
// by the parameters are sums over rows, (width,).
template <class T, class S>
void norm_backward(S* z, const S* up, const T* value, const T* target, T gain, const T* head, const T* scale,
                   const T* shift, const T* deviation, T* d_bias, T* d_scale, T* d_shift, T* d_head,
                   T* d_head_bias, int64_t rows, int64_t width, T keep, const int32_t* positions,
                   const int64_t* edges) {
    std::vector<T> buffer(width);
    T* x = buffer.data();
    Dropped dropped(positions, edges);
    for (T* sums : {d_bias, d_scale, d_shift}) std::memset(sums, 0, width * sizeof(T));
    if (up == nullptr) {
        std::memset(d_head, 0, width * sizeof(T));
        d_head_bias[0] = 0;
    }
    for (int64_t i = 0; i < rows; ++i, z += width) {
        T sum = 0, along = 0;
        if (up != nullptr) {
#pragma omp simd reduction(+ : sum, along)
            for (int64_t j = 0; j < width; ++j) {
                const T n = value_of(z[j]), y = n * scale[j] + shift[j];
                const T d = y > 0 ? T(value_of(up[j])) : T(0);
                d_scale[j] += d * n;
                d_shift[j] += d;
                x[j] = d * scale[j];
                sum += x[j];
                along += x[j] * n;
            }
            up += width;
        } else {
            const T g = target != nullptr ? gain * (value[i] - target[i]) : gain;
            d_head_bias[0] += g;
#pragma omp simd reduction(+ : sum, along)
            for (int64_t j = 0; j < width; ++j) {
                const T n = value_of(z[j]), y = n * scale[j] + shift[j];
                const T d = y > 0 ? g * head[j] : T(0);
                d_head[j] += y > 0 ? g * y : T(0);
                d_scale[j] += d * n;
                d_shift[j] += d;
                x[j] = d * scale[j];
                sum += x[j];
                along += x[j] * n;
            }
        }
        const T factor = deviation[i] * keep, mean = sum / width, slope = along / width;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) {
            x[j] = factor * (x[j] - mean - value_of(z[j]) * slope);
        }
        dropped.in_row(i, width, [&](int64_t j) { x[j] = 0; });
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) {
            d_bias[j] += x[j];
            put(z[j], x[j]);
        }
    }
}

// h = max(z + bias, 0)
template <class T, class S, class H>
void rectify(const S* z, const T* bias, H* h, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; ++i, z += width, h += width) {
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) {
            const T y = value_of(z[j]) + bias[j];
            put(h[j], y < 0 ? T(0) : y);
        }
    }
}

// The gradient by z where h is not 0, and its sum over rows, (width,).
template <class T, class S, class H>
void rectify_backward(const H* up, const H* h, S* d_z, T* d_bias, int64_t rows, int64_t width) {
    std::memset(d_bias, 0, width * sizeof(T));
    for (int64_t i = 0; i < rows; ++i, up += width, h += width, d_z += width) {
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) {
            const T d = value_of(h[j]) > 0 ? T(value_of(up[j])) : T(0);
            d_bias[j] += d;
            put(d_z[j], d);
        }
    }
}

// One step of Adam, the running average that follows the weights, and both rounded for the products.
template <class T, class S>
void adam(T* w, const S* gradient, T* first, T* second, T* average, S* w_rounded, S* average_rounded, int64_t size,
          T decay_first, T decay_second, T epsilon, T share, T rate, T correction) {
    const FlushDenormals flush;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
        const T g = value_of(gradient[i]);
        const T m = first[i] + (1 - decay_first) * (g - first[i]);
        const T v = second[i] + (1 - decay_second) * (g * g - second[i]);
        first[i] = m;
        second[i] = v;
        const T moved = w[i] - rate * m / (std::sqrt(v) * correction + epsilon);
        w[i] = moved;
        average[i] += share * (moved - average[i]);
    }
    if (w_rounded != nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) {
            put(w_rounded[i], w[i]);
            put(average_rounded[i], average[i]);
        }
    }
}

}  // namespace

#define EXPORT(suffix, T, S)                                                                                        \
    extern "C" void norm_##suffix(S* z, const T* bias, const T* scale, const T* shift, S* h, const T* head,         \
                                  const T* head_bias, T* value, T* deviation, int64_t rows, int64_t width,          \
                                  T epsilon, T keep, const int32_t* positions, const int64_t* edges) {              \
        norm<T, S>(z, bias, scale, shift, h, head, head_bias, value, deviation, rows, width, epsilon, keep,         \
                   positions, edges);                                                                               \
    }                                                                                                               \
    extern "C" void norm_backward_##suffix(                                                                         \
        S* z, const S* up, const T* value, const T* target, T gain, const T* head, const T* scale, const T* shift,  \
        const T* deviation, T* d_bias, T* d_scale, T* d_shift, T* d_head, T* d_head_bias, int64_t rows,             \
        int64_t width, T keep, const int32_t* positions, const int64_t* edges) {                                    \
        norm_backward<T, S>(z, up, value, target, gain, head, scale, shift, deviation, d_bias, d_scale, d_shift,    \
                            d_head, d_head_bias, rows, width, keep, positions, edges);                              \
    }                                                                                                               \
    extern "C" void adam_##suffix(T* w, const S* gradient, T* first, T* second, T* average, S* w_rounded,           \
                                  S* average_rounded, int64_t size, T decay_first, T decay_second, T epsilon,       \
                                  T share, T rate, T correction) {                                                  \
        adam<T, S>(w, gradient, first, second, average, w_rounded, average_rounded, size, decay_first,              \
                   decay_second, epsilon, share, rate, correction);                                                 \
    }

#define EXPORT_RECTIFY(suffix, T, S, H)                                                                             \
    extern "C" void rectify_##suffix(const S* z, const T* bias, H* h, int64_t rows, int64_t width) {                \
        rectify<T, S, H>(z, bias, h, rows, width);                                                                  \
    }                                                                                                               \
    extern "C" void rectify_backward_##suffix(const H* up, const H* h, S* d_z, T* d_bias, int64_t rows,             \
                                              int64_t width) {                                                      \
        rectify_backward<T, S, H>(up, h, d_z, d_bias, rows, width);                                                 \
    }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, float, bfloat16)
EXPORT_RECTIFY(float32_float32, float, float, float)
EXPORT_RECTIFY(float64_float64, double, double, double)
EXPORT_RECTIFY(bfloat16_bfloat16, float, bfloat16, bfloat16)
EXPORT_RECTIFY(bfloat16_float32, float, bfloat16, float)
