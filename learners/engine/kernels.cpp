// The elementwise passes between the learner's matrix products, each one sweep over memory.
//
// T is the type of sums, parameters and moments; S that of the products' operands and results. Arrays are
// dense and row-major. compiled.py compiles this for the very processor; torch_kernels.py is the same in torch.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

struct bfloat16 {
    uint16_t bits;
};

#if defined(__AVX512F__)
constexpr int64_t VECTOR_BYTES = 64;
#else
constexpr int64_t VECTOR_BYTES = 32;
#endif

template <class T>
struct Vectors {
    static constexpr int64_t SIZE = VECTOR_BYTES / sizeof(T);
    typedef T Vector __attribute__((vector_size(VECTOR_BYTES)));
};
typedef uint32_t Words __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2)));

// One number, or as many as V holds, as the type of sums.
template <class V, class S>
inline V get(const S* from) {
    V result;
    std::memcpy(&result, from, sizeof result);
    return result;
}
template <class V>
inline V get(const bfloat16* from) {
    typename std::conditional<sizeof(V) == sizeof(float), uint16_t, Halves>::type halves;
    std::memcpy(&halves, from, sizeof halves);
    V result;
    if constexpr (sizeof(V) == sizeof(float)) {
        const uint32_t bits = static_cast<uint32_t>(halves) << 16;
        std::memcpy(&result, &bits, sizeof result);
    } else {
        const Words bits = __builtin_convertvector(halves, Words) << 16;
        std::memcpy(&result, &bits, sizeof result);
    }
    return result;
}

template <class V, class S>
inline void put(S* to, V x) {
    std::memcpy(to, &x, sizeof x);
}
template <class V>
inline void put(bfloat16* to, V x) {  // to the nearest, ties to even
    typename std::conditional<sizeof(V) == sizeof(float), uint32_t, Words>::type bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    if constexpr (sizeof(V) == sizeof(float)) {
        to->bits = static_cast<uint16_t>(bits);
    } else {
        const Halves halves = __builtin_convertvector(bits, Halves);
        std::memcpy(to, &halves, sizeof halves);
    }
}

template <class V>
inline V rectified(V y) {  // a NaN stays one
    return y < 0 ? V{} : y;
}

// body(a number or vector of type T, where it starts, which of four sums it goes to), over a row.
template <class T, class Body>
inline void sweep(int64_t width, Body body) {
    using V = typename Vectors<T>::Vector;
    constexpr int64_t SIZE = Vectors<T>::SIZE;
    int64_t j = 0;
    for (; j + 4 * SIZE <= width; j += 4 * SIZE) {
        body(V{}, j, 0);
        body(V{}, j + SIZE, 1);
        body(V{}, j + 2 * SIZE, 2);
        body(V{}, j + 3 * SIZE, 3);
    }
    for (; j + SIZE <= width; j += SIZE) body(V{}, j, 0);
    for (; j < width; ++j) body(T{}, j, 0);
}

// A sum over a row: four at a time, since each addition waits for the one before it.
template <class T>
class Sum {
    using V = typename Vectors<T>::Vector;
    V parts_[4] = {};
    T rest_ = 0;

public:
    inline void add(V x, int k) { parts_[k] += x; }
    inline void add(T x, int) { rest_ += x; }
    inline T total() const {
        const V parts = (parts_[0] + parts_[1]) + (parts_[2] + parts_[3]);
        T sum = rest_;
        for (int64_t k = 0; k < Vectors<T>::SIZE; ++k) sum += parts[k];
        return sum;
    }
};

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

// The dropped units of one layer of one critic, as ascending positions in its (rows, width) array, counted
// from `start`.
struct Dropped {
    const int64_t* next;
    const int64_t* const end;
    const int64_t start;
    Dropped(const int64_t* positions, const int64_t* edges, int64_t from)
        : next(positions + edges[0]), end(positions + edges[1]), start(from) {}

    bool empty() const { return next == end; }

    template <class Act>
    void in_row(int64_t row, int64_t width, Act act) {
        for (; next < end && *next - start < (row + 1) * width; ++next) act(*next - start - row * width);
    }
};

// Rows that go through a step together: each step ends with a sum and a root that the next waits for.
constexpr int64_t TOGETHER = 4;

// (z + bias) * keep, dropped units to 0, then with NORMALISED normalised over the row, scaled and shifted;
// rectified. z becomes the (normalised) rows; the result goes to h, or where h is null only its product with
// `head` to value, (rows,). Without NORMALISED `scale`, `shift` and `deviation` are null.
template <bool NORMALISED, class T, class S>
void layer(S* z, const T* bias, const T* scale, const T* shift, S* h, const T* head, const T* head_bias,
          T* value, T* deviation, int64_t rows, int64_t width, T epsilon, T keep, const int64_t* positions,
          const int64_t* edges, int64_t start) {
    std::vector<T> buffer(TOGETHER * width);
    T means[TOGETHER], factors[TOGETHER];
    Dropped dropped(positions, edges, start);
    for (int64_t first = 0; first < rows; first += TOGETHER) {
        const int64_t count = std::min(TOGETHER, rows - first);
        for (int64_t i = 0; i < count; ++i) {
            T* const x = buffer.data() + i * width;
            const S* const from = z + (first + i) * width;
            Sum<T> sum;
            sweep<T>(width, [&](auto one, int64_t j, int k) {
                using V = decltype(one);
                const V y = (get<V>(from + j) + get<V>(bias + j)) * keep;
                put(x + j, y);
                sum.add(y, k);
            });
            T dropped_sum = 0;
            dropped.in_row(first + i, width, [&](int64_t j) {
                dropped_sum += x[j];
                x[j] = 0;
            });
            means[i] = (sum.total() - dropped_sum) / width;
        }
        for (int64_t i = 0; NORMALISED && i < count; ++i) {
            const T* const x = buffer.data() + i * width;
            const T mean = means[i];
            Sum<T> square;
            sweep<T>(width, [&](auto one, int64_t j, int k) {
                using V = decltype(one);
                const V y = get<V>(x + j) - mean;
                square.add(y * y, k);
            });
            factors[i] = deviation[first + i] = 1 / std::sqrt(square.total() / width + epsilon);
        }
        for (int64_t i = 0; i < count; ++i) {
            const T* const x = buffer.data() + i * width;
            const T mean = means[i], factor = factors[i];
            S* const normalised = z + (first + i) * width;
            S* const out = h != nullptr ? h + (first + i) * width : nullptr;
            Sum<T> product;
            sweep<T>(width, [&](auto one, int64_t j, int k) {
                using V = decltype(one);
                V n = get<V>(x + j), y = n;
                if constexpr (NORMALISED) {
                    n = (n - mean) * factor;
                    y = n * get<V>(scale + j) + get<V>(shift + j);
                }
                y = rectified<V>(y);
                put(normalised + j, n);
                if (out != nullptr) {
                    put(out + j, y);
                } else {
                    product.add(y * get<V>(head + j), k);
                }
            });
            if (out == nullptr) value[first + i] = product.total() + head_bias[0];
        }
    }
}

// Backwards through layer. z: what layer left there, becomes the gradient by what it was given. With `up`, the
// gradient by h; without, that by value is gain * (value - target), or gain where target is null. Gradients
// by the parameters are sums over rows, (width,); those by scale and shift are null without NORMALISED.
template <bool NORMALISED, class T, class S>
void layer_backward(S* z, const S* up, const T* value, const T* target, T gain, const T* head, const T* scale,
                   const T* shift, const T* deviation, T* d_bias, T* d_scale, T* d_shift, T* d_head,
                   T* d_head_bias, int64_t rows, int64_t width, T keep, const int64_t* positions,
                   const int64_t* edges, int64_t start) {
    std::vector<T> buffer(width);
    T* x = buffer.data();
    Dropped dropped(positions, edges, start);
    for (T* sums : {d_bias, d_scale, d_shift}) {
        if (sums != nullptr) std::memset(sums, 0, width * sizeof(T));
    }
    if (up == nullptr) {
        std::memset(d_head, 0, width * sizeof(T));
        d_head_bias[0] = 0;
    }
    for (int64_t i = 0; i < rows; ++i, z += width) {
        const T g = up != nullptr ? T(0) : target != nullptr ? gain * (value[i] - target[i]) : gain;
        if (up == nullptr) d_head_bias[0] += g;
        Sum<T> sum, along;
        sweep<T>(width, [&](auto one, int64_t j, int k) {
            using V = decltype(one);
            const V n = get<V>(z + j);
            V y = n;
            if constexpr (NORMALISED) y = n * get<V>(scale + j) + get<V>(shift + j);
            const V by_h = up != nullptr ? get<V>(up + j) : g * get<V>(head + j);
            const V d = y > 0 ? by_h : V{};
            if (up == nullptr) put(d_head + j, get<V>(d_head + j) + g * rectified<V>(y));
            if constexpr (NORMALISED) {
                put(d_scale + j, get<V>(d_scale + j) + d * n);
                put(d_shift + j, get<V>(d_shift + j) + d);
                const V by_n = d * get<V>(scale + j);
                put(x + j, by_n);
                sum.add(by_n, k);
                along.add(by_n * n, k);
            } else {
                put(x + j, d);
            }
        });
        const T factor = NORMALISED ? deviation[i] * keep : keep;
        const T mean = sum.total() / width, slope = along.total() / width;
        const auto by_z = [&](auto one, int64_t j) {
            using V = decltype(one);
            V d = get<V>(x + j);
            if constexpr (NORMALISED) d = d - mean - get<V>(z + j) * slope;
            return V(factor * d);
        };
        if (dropped.empty()) {
            sweep<T>(width, [&](auto one, int64_t j, int) {
                using V = decltype(one);
                const V d = by_z(one, j);
                put(d_bias + j, get<V>(d_bias + j) + d);
                put(z + j, d);
            });
        } else {
            sweep<T>(width, [&](auto one, int64_t j, int) { put(x + j, by_z(one, j)); });
            dropped.in_row(i, width, [&](int64_t j) { x[j] = 0; });
            sweep<T>(width, [&](auto one, int64_t j, int) {
                using V = decltype(one);
                const V d = get<V>(x + j);
                put(d_bias + j, get<V>(d_bias + j) + d);
                put(z + j, d);
            });
        }
        if (up != nullptr) up += width;
    }
}

// h = max(z + bias, 0)
template <class T, class S, class H>
void rectify(const S* z, const T* bias, H* h, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; ++i, z += width, h += width) {
        sweep<T>(width, [&](auto one, int64_t j, int) {
            using V = decltype(one);
            put(h + j, rectified<V>(get<V>(z + j) + get<V>(bias + j)));
        });
    }
}

// The gradient by z where h is not 0, and its sum over rows, (width,).
template <class T, class S, class H>
void rectify_backward(const H* up, const H* h, S* d_z, T* d_bias, int64_t rows, int64_t width) {
    std::memset(d_bias, 0, width * sizeof(T));
    for (int64_t i = 0; i < rows; ++i, up += width, h += width, d_z += width) {
        sweep<T>(width, [&](auto one, int64_t j, int) {
            using V = decltype(one);
            const V d = get<V>(h + j) > 0 ? get<V>(up + j) : V{};
            put(d_bias + j, get<V>(d_bias + j) + d);
            put(d_z + j, d);
        });
    }
}

// One step of Adam, the running average that follows the weights, and both rounded for the products.
template <class T, class S>
void adam(T* w, const S* gradient, T* first, T* second, T* average, S* w_rounded, S* average_rounded,
          int64_t size, T decay_first, T decay_second, T epsilon, T share, T rate, T correction) {
    const FlushDenormals flush{};
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
        const T g = get<T>(gradient + i);
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
            put(w_rounded + i, w[i]);
            put(average_rounded + i, average[i]);
        }
    }
}

}  // namespace

// Exported by the name of the products' type.
#define EXPORT(suffix, T, S)                                                                             \
    extern "C" void layer_##suffix(S* z, const T* bias, const T* scale, const T* shift, S* h,            \
                                   const T* head, const T* head_bias, T* value, T* deviation,            \
                                   int64_t rows, int64_t width, T epsilon, T keep,                       \
                                   const int64_t* positions, const int64_t* edges, int64_t start) {      \
        const auto chosen = deviation != nullptr ? layer<true, T, S> : layer<false, T, S>;               \
        chosen(z, bias, scale, shift, h, head, head_bias, value, deviation, rows, width, epsilon,        \
               keep, positions, edges, start);                                                           \
    }                                                                                                    \
    extern "C" void layer_backward_##suffix(                                                             \
        S* z, const S* up, const T* value, const T* target, T gain, const T* head, const T* scale,       \
        const T* shift, const T* deviation, T* d_bias, T* d_scale, T* d_shift, T* d_head,                \
        T* d_head_bias, int64_t rows, int64_t width, T keep, const int64_t* positions,                   \
        const int64_t* edges, int64_t start) {                                                           \
        const auto chosen = deviation != nullptr ? layer_backward<true, T, S> : layer_backward<false, T, S>;\
        chosen(z, up, value, target, gain, head, scale, shift, deviation, d_bias, d_scale, d_shift,      \
               d_head, d_head_bias, rows, width, keep, positions, edges, start);                         \
    }                                                                                                    \
    extern "C" void adam_##suffix(T* w, const S* gradient, T* first, T* second, T* average,              \
                                  S* w_rounded, S* average_rounded, int64_t size, T decay_first,         \
                                  T decay_second, T epsilon, T share, T rate, T correction) {            \
        adam<T, S>(w, gradient, first, second, average, w_rounded, average_rounded, size, decay_first,   \
                   decay_second, epsilon, share, rate, correction);                                      \
    }

#define EXPORT_RECTIFY(suffix, T, S, H)                                                                  \
    extern "C" void rectify_##suffix(const S* z, const T* bias, H* h, int64_t rows, int64_t width) {     \
        rectify<T, S, H>(z, bias, h, rows, width);                                                       \
    }                                                                                                    \
    extern "C" void rectify_backward_##suffix(const H* up, const H* h, S* d_z, T* d_bias, int64_t rows,  \
                                              int64_t width) {                                           \
        rectify_backward<T, S, H>(up, h, d_z, d_bias, rows, width);                                      \
    }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, float, bfloat16)
EXPORT_RECTIFY(float32_float32, float, float, float)
EXPORT_RECTIFY(float64_float64, double, double, double)
EXPORT_RECTIFY(bfloat16_bfloat16, float, bfloat16, bfloat16)
EXPORT_RECTIFY(bfloat16_float32, float, bfloat16, float)
