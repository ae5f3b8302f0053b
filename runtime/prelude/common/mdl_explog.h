/* mdl_explog.h: exp2, expm1, log2 and log1p. Included by mdl.h after mdl_math.h, whose reductions and
 * polynomials these share; they are a file of their own because they must be right where the plain
 * forms lose all digits: expm1 and log1p near 0, exp2 and log2 at powers of two (exact there).
 * Errors (tests/ops): exp2, log2 <= 2 ulp, expm1, log1p <= 3. */
#ifndef MDL_EXPLOG_H
#define MDL_EXPLOG_H

/* 2^x: 2^n 2^f with |f| <= 1/2, Cephes' polynomial. */
MDL_FN vf mdl_exp2_vf(vf x)
{
    x = mdl_select_vf(x < mdl_set1_vf(-151.0f), mdl_set1_vf(-151.0f), x); /* NaN stays */
    x = mdl_select_vf(x > mdl_set1_vf(129.0f), mdl_set1_vf(129.0f), x);
    vf n = (x + 0x1.8p23f) - 0x1.8p23f;
    vf f = x - n;
    vf p = mdl_set1_vf(1.535336188319500e-4f);
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.339887440266574e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(9.618437357674640e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(5.550332471162809e-2f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(2.402264791363012e-1f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(6.931472028550421e-1f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.0f));
    vi e = mdl_convert_vi(mdl_select_vf(n == n, n, mdl_set1_vf(0)));
    vi half = e >> 1; /* two factors: through the subnormals to 0 */
    return p * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
}

/* e^x - 1 = 2^n (e^f - 1) + (2^n - 1), in halves so that 2^128 is not needed; below -26 it is -1. */
MDL_FN vf mdl_expm1_vf(vf x)
{
    vf y = mdl_select_vf(x < mdl_set1_vf(-26.0f), mdl_set1_vf(-26.0f), x); /* NaN stays */
    y = mdl_select_vf(y > mdl_set1_vf(89.0f), mdl_set1_vf(89.0f), y);
    vf n = (y * 1.44269504088896341f + 0x1.8p23f) - 0x1.8p23f;
    vf f = mdl_fma_vf(n, mdl_set1_vf(-0.693359375f), y);
    f = mdl_fma_vf(n, mdl_set1_vf(2.12194440e-4f), f);
    vf p = mdl_set1_vf(1.9875691500e-4f);
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.3981999507e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(8.3334519073e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(4.1665795894e-2f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.6666665459e-1f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(5.0000001201e-1f));
    p = mdl_fma_vf(p, f * f, f);
    vi e = mdl_convert_vi(mdl_select_vf(n == n, n, mdl_set1_vf(0)));
    vf half = (vf)((e + 126) << 23);
    vf r = mdl_fma_vf(half, p, half - 0.5f);
    return mdl_select_vf(x == mdl_set1_vf(0), x, r + r);
}

/* log2(x) = e + log2(m), m in [sqrt(1/2), sqrt(2)): mdl_log_vf in units of ln 2, whose inverse is
 * taken as 1 + 0.4427 so that the product is rounded once. */
MDL_FN vf mdl_log2_vf(vf x)
{
    vi tiny = x < mdl_set1_vf(0x1p-126f);
    vf y = mdl_select_vf(tiny, x * 0x1p25f, x);
    vi bits = (vi)y - 0x3f3504f3; /* sqrt(1/2) */
    vi e = bits >> 23;
    vf m = (vf)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    vf z = m * m;
    vf low = mdl_fma_vf(z, mdl_set1_vf(-0.5f), mdl_log_poly_vf(m) * m * z); /* log(1 + m) - m */
    vf r = low * 0.44269504088896341f;
    r = mdl_fma_vf(m, mdl_set1_vf(0.44269504088896341f), r) + low + m;
    r = r + mdl_cast_vi_vf(e - (tiny & 25));
    r = mdl_select_vf(x == mdl_set1_vf(MDL_INF), x, r);
    r = mdl_select_vf(x == mdl_set1_vf(0), mdl_set1_vf(-MDL_INF), r);
    return mdl_select_vf((x < mdl_set1_vf(0)) | (x != x), mdl_set1_vf(MDL_NAN), r);
}

/* log(1 + x): u = 1 + x rounded; what the rounding lost is put right by x / (u - 1) (Kahan). */
MDL_FN vf mdl_log1p_vf(vf x)
{
    vf u = x + 1.0f;
    vi one = u == mdl_set1_vf(1.0f), inf = x == mdl_set1_vf(MDL_INF);
    vf r = mdl_log_vf(u) * (x / mdl_select_vf(one, x, u - 1.0f));
    return mdl_select_vf(one | inf, x, r);
}

MDL_SCALAR(exp2)
MDL_SCALAR(expm1)
MDL_SCALAR(log2)
MDL_SCALAR(log1p)

MDL_F64(exp2, exp2(x))
MDL_F64(expm1, expm1(x))
MDL_F64(log2, log2(x))
MDL_F64(log1p, log1p(x))

#endif
