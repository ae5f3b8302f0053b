/* mdl_xent.h: what a linear cross-entropy does with its scores. Scores lie as [class][nr]: lanes are rows
 * of the batch, so that folds over classes need no horizontal step. Statistics of rows are planes of
 * `plane` floats each. */
#ifndef MDL_XENT_H
#define MDL_XENT_H

#define MDL_LEAST_FLOAT (-3.402823466e38f)

/* Planes: the maximum so far, the sum of exponentials below it, the sum, the target's score. */
MDL_FN void mdl_xent_begin(float *part, int64_t plane)
{
    for (int64_t j = 0; j < plane; j += MDL_W) {
        mdl_store_f32(part + j, mdl_set1_vf(MDL_LEAST_FLOAT));
        mdl_store_f32(part + plane + j, mdl_set1_vf(0));
        mdl_store_f32(part + 2 * plane + j, mdl_set1_vf(0));
        mdl_store_f32(part + 3 * plane + j, mdl_set1_vf(0));
    }
}

/* Folds n classes from number `first` on into the planes, for one vector of rows; z: of stride nr. They
 * are copied to `keep`, if that is not 0. */
MDL_FN void mdl_xent_fold(const float *z, float *keep, int64_t n, int64_t nr, float *part,
                          int64_t plane, const int32_t *target, int64_t first)
{
    vi t = mdl_load_i32(target);
    vf m = mdl_load_f32(part), top = m, sum = mdl_load_f32(part + 2 * plane);
    vf hit = mdl_load_f32(part + 3 * plane);
    for (int64_t i = 0; i < n; i++) {
        vf x = mdl_load_f32(z + i * nr);
        if (keep)
            mdl_store_f32(keep + i * nr, x);
        top = mdl_max_vf(top, x);
        sum = sum + x;
        hit = mdl_select_vf(t == mdl_set1_vi((int32_t)(first + i)), x, hit);
    }
    vf s = mdl_load_f32(part + plane) * mdl_exp_vf(m - top);
    for (int64_t i = 0; i < n; i++)
        s = s + mdl_exp_vf(mdl_load_f32(z + i * nr) - top);
    mdl_store_f32(part, top);
    mdl_store_f32(part + plane, s);
    mdl_store_f32(part + 2 * plane, sum);
    mdl_store_f32(part + 3 * plane, hit);
}

/* The planes of n tasks, `plane * 4` floats apart, become: maximum, log of the sum, the target's score
 * and the mean of `classes`, both less the maximum. One vector of rows. */
MDL_FN void mdl_xent_join(const float *part, int64_t n, int64_t plane, float classes, float *stat)
{
    vf m = mdl_load_f32(part), s = mdl_set1_vf(0), sum = s, hit = s;
    for (int64_t i = 1; i < n; i++)
        m = mdl_max_vf(m, mdl_load_f32(part + 4 * plane * i));
    for (int64_t i = 0; i < n; i++) {
        const float *p = part + 4 * plane * i;
        s = s + mdl_load_f32(p + plane) * mdl_exp_vf(mdl_load_f32(p) - m);
        sum = sum + mdl_load_f32(p + 2 * plane);
        hit = hit + mdl_load_f32(p + 3 * plane);
    }
    mdl_store_f32(stat, m);
    mdl_store_f32(stat + plane, mdl_log_vf(s));
    mdl_store_f32(stat + 2 * plane, hit - m);
    mdl_store_f32(stat + 3 * plane, sum / mdl_set1_vf(classes) - m);
}

/* Scores of n classes become their cotangents, for one vector of rows. Planes of stat: maximum, log of
 * the sum, .., .., then the cotangents of the log, of the target's score, and of each score alike. */
MDL_FN void mdl_xent_grad(float *z, int64_t n, int64_t nr, const float *stat, int64_t plane,
                          const int32_t *target, int64_t first)
{
    vi t = mdl_load_i32(target);
    vf m = mdl_load_f32(stat), l = mdl_load_f32(stat + plane), dl = mdl_load_f32(stat + 4 * plane);
    vf dhit = mdl_load_f32(stat + 5 * plane), da = mdl_load_f32(stat + 6 * plane);
    for (int64_t i = 0; i < n; i++) {
        vf p = mdl_exp_vf(mdl_load_f32(z + i * nr) - m - l);
        vi is = t == mdl_set1_vi((int32_t)(first + i));
        vf g = dl * p + mdl_select_vf(is, dhit, mdl_set1_vf(0)) + da;
        mdl_store_f32(z + i * nr, g);
    }
}

#endif
