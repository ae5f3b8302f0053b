/* mdl_scores.h: what warps of a GPU do with the scores of a linear cross-entropy: a row of a tile, 32 columns apart
 * in each lane, becomes its maximum, the sum of exponentials below that, the sum, and the target's score;
 * such parts are joined in the order of the classes; and scores become their cotangents. */
#ifndef MDL_SCORES_H
#define MDL_SCORES_H

#define MDL_LEAST_SCORE (-3.402823466e38f)

MDL_FN float mdl_warp_max_f32(float x)
{
    MDL_UNROLL
    for (int h = 16; h > 0; h /= 2)
        x = mdl_max_f32(x, mdl_shfl_xor_f32(x, h));
    return x;
}

/* The scores of a row that this lane has, from column `from` on; those past the end are the least. */
MDL_FN vf mdl_scores_of_lane(const float *row, int from, int columns)
{
    MdlV v;
    MDL_LANES(j)
    {
        int c = from + mdl_lane() + 32 * j;
        v.fs[j] = c < columns ? row[c] : MDL_LEAST_SCORE;
    }
    return v.f;
}

/* A tile of scores: its rows and columns that exist, floats between rows, the first class, warps of the block. */
typedef struct MdlScores {
    int rows, columns, pitch, first, warps;
} MdlScores;

/* Four floats of each row to part[stride * row]. */
MDL_FN void mdl_scores_fold(const float *z, MdlScores t, const int32_t *target, float *part,
                            int64_t stride)
{
    for (int r = mdl_warp(); r < t.rows; r += t.warps) {
        const float *row = z + r * t.pitch;
        float top = MDL_LEAST_SCORE, below = 0, sum = 0;
        for (int c = 0; c < t.columns; c += 32 * MDL_W) {
            MdlV v;
            v.f = mdl_scores_of_lane(row, c, t.columns);
            MDL_LANES(j)
            top = mdl_max_f32(v.fs[j], top);
        }
        top = mdl_warp_max_f32(top);
        for (int c = 0; c < t.columns; c += 32 * MDL_W) {
            MdlV v, e;
            v.f = mdl_scores_of_lane(row, c, t.columns);
            e.f = mdl_exp_vf(v.f - top);
            MDL_LANES(j)
            {
                int in = c + mdl_lane() + 32 * j < t.columns;
                below += in ? e.fs[j] : 0;
                sum += in ? v.fs[j] : 0;
            }
        }
        below = mdl_warp_sum_f32(below);
        sum = mdl_warp_sum_f32(sum);
        int hit = target[r] - t.first;
        if (mdl_lane() == 0) {
            float *to = part + stride * r;
            to[0] = top;
            to[1] = below;
            to[2] = sum;
            to[3] = hit >= 0 && hit < t.columns ? row[hit] : 0;
        }
    }
}

MDL_FN float mdl_quad_sum_f32(float x)
{
    x += mdl_shfl_xor_f32(x, 1);
    return x + mdl_shfl_xor_f32(x, 2);
}

MDL_FN float mdl_quad_max_f32(float x)
{
    x = mdl_max_f32(x, mdl_shfl_xor_f32(x, 1));
    return mdl_max_f32(x, mdl_shfl_xor_f32(x, 2));
}

/* A row of the sums that four lanes of a warpgroup share, with the target's column: to four floats. */
MDL_FN void mdl_scores_of_row(const float *c, int bn, int columns, int hit, float *to)
{
    const float log2e = 1.44269504f;
    float top = MDL_LEAST_SCORE, below = 0, sum = 0, at = 0;
    MDL_UNROLL
    for (int j = 0; j < bn / 4; j++) {
        int column = j / 2 * 8 + mdl_lane() % 4 * 2 + j % 2;
        float x = c[j / 2 * 4 + j % 2];
        int in = column < columns;
        top = mdl_max_f32(in ? x : MDL_LEAST_SCORE, top);
        sum += in ? x : 0;
        at += in && column == hit ? x : 0;
    }
    top = mdl_quad_max_f32(top);
    MDL_UNROLL
    for (int j = 0; j < bn / 4; j++) {
        int column = j / 2 * 8 + mdl_lane() % 4 * 2 + j % 2;
        float e = mdl_exp2_fast((c[j / 2 * 4 + j % 2] - top) * log2e);
        below += column < columns ? e : 0;
    }
    to[0] = top;
    to[1] = mdl_quad_sum_f32(below);
    to[2] = mdl_quad_sum_f32(sum);
    to[3] = mdl_quad_sum_f32(at);
}

/* mdl_scores_fold of what lies in the registers of warpgroups (mdl_tile.h, wgmma). pitch: between the parts. */
MDL_FN void mdl_scores_of_sums(const float *acc, MdlTile t, MdlScores s, const int32_t *target,
                               float *part)
{
    int blocks = t.bm / (t.wm / 4) / 64, lane = mdl_lane();
    int first = mdl_warp() / 4 * blocks * 64 + mdl_warp() % 4 * 16 + lane / 4;
    MDL_UNROLL
    for (int i = 0; i < 2 * blocks; i++) {
        int r = first + i / 2 * 64 + i % 2 * 8;
        float of[4];
        mdl_scores_of_row(acc + i / 2 * (t.bn / 2) + i % 2 * 2, t.bn, s.columns,
                          r < s.rows ? target[r] - s.first : -1, of);
        if (lane % 4 == 0 && r < s.rows) {
            float *to = part + (int64_t)s.pitch * r;
            MDL_UNROLL
            for (int j = 0; j < 4; j++)
                to[j] = of[j];
        }
    }
}

/* The n parts of a row become: maximum, log of the sum, the target's score and the mean of `classes`, both less
 * the maximum; in all lanes. */
MDL_FN void mdl_scores_join(const float *part, int64_t n, float classes, float *stat)
{
    float top = MDL_LEAST_SCORE, below = 0, sum = 0, hit = 0;
    for (int64_t i = mdl_lane(); i < n; i += 32)
        top = mdl_max_f32(part[4 * i], top);
    top = mdl_warp_max_f32(top);
    for (int64_t i = mdl_lane(); i < n; i += 32) {
        vf scale = mdl_exp_vf(mdl_set1_vf(part[4 * i] - top));
        below += part[4 * i + 1] * mdl_lane0_vf(scale);
        sum += part[4 * i + 2];
        hit += part[4 * i + 3];
    }
    below = mdl_warp_sum_f32(below);
    sum = mdl_warp_sum_f32(sum);
    hit = mdl_warp_sum_f32(hit);
    stat[0] = top;
    stat[1] = mdl_lane0_vf(mdl_log_vf(mdl_set1_vf(below)));
    stat[2] = hit - top;
    stat[3] = sum / classes - top;
}

/* Cotangents of the scores of W classes. Of stat: maximum, log of the sum, .., .., then the cotangents of the
 * log, of the target's score, and of each score alike. */
MDL_FN vf mdl_scores_turn(vf z, const float *stat, int32_t target, int64_t first)
{
    vf p = mdl_exp_vf(z - stat[0] - stat[1]);
    vi is = mdl_lane_vi() == mdl_set1_vi(target - (int32_t)first);
    return p * stat[4] + mdl_select_vf(is, mdl_set1_vf(stat[5]), mdl_set1_vf(0)) + stat[6];
}

#endif
