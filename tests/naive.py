"""Slow, obvious twins of what the package does with whole arrays at once."""

import cmath
import itertools
import math
from collections import namedtuple

import numpy as np

FILLER = -1
Between = namedtuple("Between", "stepped hold_us hold_after_last uncertain_is_bad bounds")


def cuts(length, points):
    """Cut rows 0..length at some points; yields slices, empty ones too."""
    edges = [0, *sorted(min(point, length) for point in points), length]
    for start, stop in itertools.pairwise(edges):
        yield slice(start, stop)


def grid_rows(row, values, used, counters):
    """Make grid rows from readings, one after the other."""
    index, merged_values, merged_used = [], [], []
    for number in sorted(set(row)):
        members = [k for k in range(len(row)) if row[k] == number]
        counted = [k for k in members if used[k]] or members
        cells = []
        for c in range(len(counters)):
            good = [values[k][c] for k in counted if math.isfinite(values[k][c])]
            cells.append(sum(good) / len(good) if good else math.nan)
        index.append(number)
        merged_values.append(cells)
        merged_used.append(any(used[k] for k in members))
    result = [list(cells) for cells in merged_values]
    for c in np.flatnonzero(counters):
        for t in range(len(index)):
            rise = math.nan
            if t and index[t] - index[t - 1] == 1:
                rise = merged_values[t][c] - merged_values[t - 1][c]
            result[t][c] = rise if rise >= 0 else math.nan
    for t, cells in enumerate(result):
        merged_used[t] = merged_used[t] and any(math.isfinite(cell) for cell in cells)
    return index, result, merged_used


def tile_rows(places, index, values, used, start, length):
    """Look up grid rows and values at `length` places from `start` on, with filler between."""
    channels = len(values[0])
    rows, cells = [FILLER] * length, [[math.nan] * channels for _ in range(length)]
    for place, number, line, counts in zip(places, index, values, used, strict=True):
        if start <= place < start + length:
            rows[place - start] = number
            if counts:
                cells[place - start] = list(line)
    return rows, cells


def quality(column, low, high):
    """Count missing and impossible values, and the longest hold, of one tag."""
    missing = sum(not math.isfinite(value) for value in column)
    outside = sum(value < low or value > high for value in column)
    good = [v if math.isfinite(v) and low <= v <= high else math.nan for v in column]
    longest = hold = 0
    for k, value in enumerate(good):
        if math.isnan(value):
            hold = 0
            continue
        hold = hold + 1 if k and value == good[k - 1] else 1
        longest = max(longest, hold)
    kept = [value for value in good if math.isfinite(value)]
    return missing, outside, kept, longest


def cluster_peaks(score, index, pause, threshold):
    """Find the highest score of each group of exceedances at most `pause` rows apart."""
    peaks, last = [], None
    for value, row in zip(score, index, strict=True):
        if not value > threshold:
            continue
        if last is None or row - last > pause:
            peaks.append(value)
        peaks[-1] = max(peaks[-1], value)
        last = row
    return peaks


def held_alarms(index, score, scorable, limit, pause, release, fade=0.0):
    """Find the positions of alarms: from above the limit on until down at the release, or faded."""
    found, on, last, highest = [], False, None, 0.0
    for k in range(len(index)):
        if not scorable[k]:
            continue
        excess = float(score[k]) - limit
        if score[k] <= release * limit or (last is not None and index[k] - last > pause):
            on, highest = False, 0.0
        highest = max(highest, excess)
        if excess > 0 and excess >= (1 + fade) / 2 * highest:
            on = True
        elif fade and excess < fade * highest:
            on = False
        last = index[k]
        if on:
            found.append(k)
    return found


def merged_alarms(index, score, scorable, limit, pause, release=1.0):
    """Group alarm rows that lie at most `pause` rows apart; a list of positions for each event."""
    groups = []
    for k in held_alarms(index, score, scorable, limit, pause, release):
        if groups and index[k] - index[groups[-1][-1]] <= pause:
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups


def near_alarms(index, alarm, margin):
    """Find the positions of rows within `margin` of any alarm."""
    alarms = [row for row, flag in zip(index, alarm, strict=True) if flag]
    return [k for k, row in enumerate(index) if any(abs(row - other) <= margin for other in alarms)]


def gaps(index, max_hole):
    """Find (first missing row, next row) wherever more than `max_hole` rows are missing."""
    return [(a + 1, b) for a, b in itertools.pairwise(index) if b - a - 1 > max_hole]


def mahalanobis(row, mean, covariance):
    """Squared Mahalanobis distance of one row."""
    difference = np.asarray(row) - mean
    return float(difference @ np.linalg.solve(covariance, difference))


def nearest(row, bank, k):
    """Mean Euclidean distance of one row to its `k` nearest in the bank."""
    return sum(sorted(math.dist(row, other) for other in bank)[:k]) / k


def weighted_mean(values, weights, size, least):
    """Mean of some values by their weights, 0 where these are next to nothing of `size`."""
    share = sum(weights) / size
    if share < least:
        return 0.0
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def squared_deviation(values, weights, row, size):
    """Squared deviation of one value from the mean of the `size` values around it."""
    around = [k for k in range(row - size // 2, row - size // 2 + size) if 0 <= k < len(values)]
    mean = weighted_mean([values[k] for k in around], [weights[k] for k in around], size, 0.05)
    return (values[row] - mean) ** 2


def window_rows(step_number, step, size, length):
    """Rows of the window of `size` rows around one step, without those beyond the ends."""
    start = step_number * step - (size - step) // 2
    return [row for row in range(start, start + size) if 0 <= row < length]


def between_steps(steps, step, row):
    """Interpolate linearly between the middles of the steps; the ends go on level."""
    at = (row + 0.5) / step - 0.5
    at = min(max(at, 0.0), len(steps) - 1.0)
    low = math.floor(at)
    high = min(low + 1, len(steps) - 1)
    return steps[low] * (1 - (at - low)) + steps[high] * (at - low)


def spike(residual, seen, row):
    """How far one row stands out from both its neighbours, on the same side."""
    if not 0 < row < len(residual) - 1 or not (seen[row - 1] and seen[row] and seen[row + 1]):
        return 0.0
    up, down = residual[row] - residual[row - 1], residual[row] - residual[row + 1]
    return min(abs(up), abs(down)) if up * down > 0 else 0.0


def lasting(residual, seen, half, middle, least):
    """Tell what the `half` rows before and after a row have in common."""
    means, shares = [], []
    for rows in (range(middle - half, middle), range(middle, middle + half)):
        known = [row for row in rows if 0 <= row < len(residual) and seen[row]]
        shares.append(len(known) / half)
        means.append(sum(residual[row] for row in known) / len(known) if known else 0.0)
    if min(shares) >= least:
        return min(map(abs, means)) if means[0] * means[1] > 0 else 0.0
    one = 0 if shares[0] >= least else 1
    if shares[one] < least:
        return 0.0
    return abs(means[one]) * shares[one] / math.sqrt(2 * shares[one])


def seen_share(mask, first, count, hole):
    """Share of `count` rows from `first` on that are seen; none beyond the ends.

    A row is seen when every row within `hole` rows of it has a reading within `hole` rows.
    """
    T = len(mask)
    some = [bool(mask[row].any()) for row in range(T)]
    near = [any(some[max(0, row - hole) : row + hole + 1]) for row in range(T)]
    seen = [all(near[max(0, row - hole) : row + hole + 1]) for row in range(T)]
    return sum(seen[row] for row in range(first, first + count) if 0 <= row < T) / count


def wavelet(readings, seen, row, scale):
    """Coefficient of a Morlet wavelet around one row, and the share of its weight that was seen.

    The readings go on mirrored beyond the first and the last one.
    """
    last = len(readings) - 1
    coefficient, weight, weight_seen = 0, 0, 0
    for place in range(-last, 2 * last + 1):
        mirrored = abs(place) if place <= last else 2 * last - place
        eta = (place - row) / scale
        wave = math.pi**-0.25 * cmath.exp(6j * eta) * math.exp(-(eta**2) / 2)
        weight += abs(wave)
        if seen[mirrored]:
            coefficient += readings[mirrored] * wave.conjugate() / math.sqrt(scale)
            weight_seen += abs(wave)
    return coefficient, weight_seen / weight


def between_events(events, second, between):
    """Say what is known of a tag at a time, from (second, value, quality) of its events."""
    GOOD, UNCERTAIN, BAD, NO_DATA = 0, 1, 3, 4
    told = []
    for when, value, quality in events:
        if between.uncertain_is_bad and quality == UNCERTAIN:
            quality = BAD
        told.append((when, value if quality < BAD else math.nan, int(quality)))
    past_bad = between.bounds == "interpolated"
    seen = [event for event in told if event[2] < BAD or not past_bad]
    before = [event for event in seen if event[0] <= second]
    after = [event for event in seen if event[0] > second]
    if not before:
        return math.nan, NO_DATA
    hold = math.inf if between.hold_us is None else between.hold_us / 1e6
    when, value, quality = before[-1]
    if quality >= BAD:
        return math.nan, quality
    if when == second:
        return value, quality
    end = second
    if between.stepped:
        if second - when > hold:
            return math.nan, NO_DATA
    elif not after:
        if not between.hold_after_last or second - when > hold:
            return math.nan, NO_DATA
        quality = UNCERTAIN
    else:
        end, next_value, next_quality = after[0]
        if end - when > hold:
            return math.nan, NO_DATA
        if next_quality >= BAD:
            return value, UNCERTAIN
        value += (next_value - value) * (second - when) / (end - when)
        quality = quality if next_quality == quality else UNCERTAIN
    skipped = any(when < event[0] < end for event in told if event[2] >= BAD)
    skipped |= any(event[0] == second for event in told if event[2] >= BAD)
    if past_bad and quality == GOOD and (skipped or not after):
        quality = UNCERTAIN
    return value, quality


def merged_events(events, policy):
    """Merge events (second, tag, value, quality) of one tag and time; count those dropped."""
    BAD, NO_DATA = 3, 4
    groups, dropped = {}, {}
    for second, tag, value, quality in events:
        value = value if quality < BAD else math.nan
        groups.setdefault((second, tag), []).append((value, quality))
    merged = []
    for (second, tag), group in groups.items():
        told = [event for event in group if event[1] != NO_DATA]
        numbers = [value for value, quality in told if quality < BAD]
        if not told:
            reason, (value, quality) = "identical duplicate", group[0]
        elif len(set(numbers)) > 1 or 0 < len(numbers) < len(told):
            if policy == "refuse":
                raise ValueError("values differ")
            reason, (value, quality) = "other values at the same time", told[-1]
            if policy == "mean":
                quality = max(quality for _, quality in told)
                value = math.nan if quality == BAD else sum(numbers) / len(numbers)
        else:
            whole = len(told) == len(group)
            reason = "identical duplicate" if whole else "merged with a row of the same time"
            value, quality = told[0][0], max(quality for _, quality in told)
        if len(group) > 1:
            dropped[reason] = dropped.get(reason, 0) + len(group) - 1
        merged.append((second, tag, value, quality))
    return sorted(merged, key=lambda event: event[:2]), dropped


def merges(events, policy):
    """Say whether the policy lets the events be merged."""
    try:
        merged_events(events, policy)
    except ValueError:
        return False
    return True


def late_events(events):
    """Count events that stand behind a later one of their tag."""
    return sum(
        any(other[1] == event[1] and other[0] > event[0] for other in events[:k])
        for k, event in enumerate(events)
    )


def event_rows(merged, tags, found, wanted):
    """Make rows (second, [(value, quality) of each tag]) of merged events, one after the other."""
    rows, seconds = [], sorted({event[0] for event in merged})
    of_tag = [[(e[0], *e[2:]) for e in merged if e[1] == tag] for tag in range(tags)]
    if found.way == "resample" and seconds:
        period = found.period_us / 1e6
        first = math.ceil((1_767_225_600 + seconds[0]) / period)
        last = math.floor((1_767_225_600 + seconds[-1]) / period)
        grid = [number * period - 1_767_225_600 for number in range(first, last + 1)]
        quiet = found.quiet_us / 1e6
        seconds = [g for g in grid if g - max(s for s in seconds if s <= g) <= quiet]
    for second in seconds:
        cells = []
        for tag, events in zip(found.tags, of_tag, strict=True):
            between = Between(
                tag.stepped,
                tag.hold_us,
                wanted.hold_after_last,
                wanted.uncertain_is_bad,
                "simple",
            )
            cell = between_events(events, second, between)
            if found.way == "pivot" and second not in [event[0] for event in events]:
                cell = (math.nan, 4)
            cells.append(cell)
        rows.append((second, cells))
    return rows


def holds(times, column):
    """Find the stretches of one value: (rows, first time, last time, value), longest first."""
    found, start = [], 0
    for k in range(1, len(column) + 1):
        if k == len(column) or column[k] != column[k - 1]:
            if k - start > 1:
                found.append((k - start, times[start], times[k - 1], column[start]))
            start = k
    return sorted(found, key=lambda hold: (-hold[0], hold[1]))


def spikes(times, column):
    """Find rows that stand out from both neighbours: (height, time, value), highest first."""
    found = []
    for k in range(1, len(column) - 1):
        up, down = column[k] - column[k - 1], column[k] - column[k + 1]
        if up * down > 0:
            found.append((min(abs(up), abs(down)), times[k], column[k]))
    return sorted(found, key=lambda spike: (-spike[0], spike[1]))


def extremes(times, column, highest):
    """Find each different value: (value, rows, first time, last time), the outermost first."""
    found = []
    for value in sorted({value for value in column if math.isfinite(value)}, reverse=highest):
        at = [time for time, other in zip(times, column, strict=True) if other == value]
        found.append((value, len(at), at[0], at[-1]))
    return found


def longest_gap(times, column):
    """Find the longest time without a good value, the ends of the export included."""
    good = [time for time, value in zip(times, column, strict=True) if math.isfinite(value)]
    edges = [times[0], *good, times[-1]]
    longest = max(itertools.pairwise(edges), key=lambda pair: pair[1] - pair[0])
    return longest if longest[1] > longest[0] else None


def slots(times, most):
    """Put times into slots whose width is the least power of two (microseconds) that suffices."""
    shift = 0
    while len({time >> shift for time in times}) > most:
        shift += 1
    return shift, sorted({time >> shift for time in times})


def masked_rows(index, columns, limits, usual, resting, max_hole):
    """Tell row by row which tags are masked: limits as in `sensor_watch.WatchLimits`.

    Returns
    -------
    For each tag: the masked rows, and (cause, first row at fault, first masked row) of each fault.
    """
    C = len(columns)
    run = [[None, None, 0] for _ in range(C)]  # value, since, rows
    cause, sound = ["" for _ in range(C)], [0] * C
    masked, faults = [[] for _ in range(C)], [[] for _ in range(C)]
    for k, row in enumerate(index):
        gap = k > 0 and row - index[k - 1] > max_hole + 1
        values = [columns[c][k] for c in range(C)]
        values = [math.nan if abs(v) > limits.most[c] else v for c, v in enumerate(values)]
        for c, value in enumerate(values):
            before = run[c][0]
            nothing = value != value and before != before
            same = before is not None and (value == before or nothing)
            run[c] = [value, run[c][1], run[c][2] + 1] if same and not gap else [value, row, 1]
        near = 7 * max(1, int(min(*limits.stuck, *limits.lost)) // 8)
        still = sum(
            run[c][2] >= near and values[c] == values[c] and values[c] not in resting[c]
            for c in range(C)
            if math.isfinite(limits.stuck[c])
        )
        for c, value in enumerate(values):
            beyond = value < limits.low[c] or value > limits.high[c]
            rail = beyond and run[c][2] >= limits.rail[c]
            lost = value != value and run[c][2] >= limits.lost[c]
            stuck = value == value and value not in resting[c] and run[c][2] >= limits.stuck[c]
            rested = value in resting[c] or run[c][2] <= usual[c]
            sound[c] = (0 if gap else sound[c]) + 1 if value == value and not rail and rested else 0
            if cause[c] and sound[c] >= limits.sound:
                cause[c] = ""
            elif not cause[c] and (rail or lost or (stuck and still <= limits.together)):
                cause[c] = "lost" if lost else "rail" if rail else "stuck"
                faults[c].append((cause[c], run[c][1], row))
            if cause[c]:
                masked[c].append(row)
    return masked, faults


def vus_pr(score, label, window, thresholds=250):
    """Compute the volume under the surface of precision and recall, row by row."""
    T, events = len(score), []
    for t in range(T):
        if label[t] and (t == 0 or not label[t - 1]):
            events.append([t, t])
        if label[t]:
            events[-1][1] = t
    ranked = sorted(score, reverse=True)
    levels = [ranked[int(k * (T - 1) / (thresholds - 1))] for k in range(thresholds)]
    areas = []
    for w in range(window + 1):
        blurred = []
        for t in range(T):
            total = 1.0 if label[t] else 0.0
            for start, end in events:
                away = start - t if t < start else t - end
                if 0 < away <= w // 2:
                    total += math.sqrt(1 - away / w)
            blurred.append(min(total, 1.0))
        wide = [[max(start - w // 2, 0), min(end + w // 2, T - 1)] for start, end in events]
        joined = [wide[0]]
        for k in range(1, len(wide)):
            if events[k - 1][1] + w // 2 < events[k][0] - w // 2:
                joined.append(wide[k])
            else:
                joined[-1][1] = wide[k][1]
        area, before = 0.0, 0.0
        for level in levels:
            above = [t for t in range(T) if score[t] >= level]
            hits = sum(blurred[t] for t in above)
            outside = sum(blurred[t] for t in above if not label[t])
            positive = (2 * sum(label) + outside) / 2
            found = sum(any(a <= t <= b for t in above) for a, b in joined) / len(joined)
            recall = min(hits / positive, 1.0) * found
            area += (recall - before) * hits / len(above)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas)


def pattern_distances(window, mean, basis, bank):
    """Distance of a flat window to the nearest normal one, and what the basis does not explain."""
    centred = [value - middle for value, middle in zip(window, mean, strict=True)]
    along = [sum(a * b for a, b in zip(centred, axis, strict=True)) for axis in basis]
    explained = [
        sum(part * axis[k] for part, axis in zip(along, basis, strict=True))
        for k in range(len(centred))
    ]
    rest = sum((a - b) ** 2 for a, b in zip(centred, explained, strict=True))
    near = min(sum((a - b) ** 2 for a, b in zip(along, known, strict=True)) for known in bank)
    return near + rest, rest


def fused(voices, scorable, size):
    """Mean of the voices' mean kinds, smoothed over the rows around each that count."""
    joined = []
    for row in range(len(scorable)):
        means = [sum(kind[row] for kind in kinds) / len(kinds) for kinds in voices]
        joined.append(sum(means) / len(means))
    found = []
    for row in range(len(scorable)):
        first = row - size // 2
        rows = [k for k in range(first, first + size) if 0 <= k < len(scorable) and scorable[k]]
        found.append(sum(joined[k] for k in rows) / len(rows) if rows else 0.0)
    return found


def slow_means(tile, key, width, c):
    """Mean reading and expectation of a tag in one slot; not known with too few rows."""
    rows = [
        t
        for t, row in enumerate(tile.index)
        if row // width == key and tile.scorable[t] and np.isfinite(tile.actual[t, c])
    ]
    if len(rows) < max(1, width / 4):
        return np.nan, np.nan
    return np.mean(tile.actual[rows, c]), np.mean(tile.expected[rows, c])


def sliding_medians(values, span):
    """Median of each `span` known values in a row, at the middle one of them."""
    known = [t for t, value in enumerate(values) if np.isfinite(value)]
    levels = np.full(len(values), np.nan)
    for first in range(len(known) - span + 1):
        some = known[first : first + span]
        levels[some[span // 2]] = np.median([values[t] for t in some])
    return levels
