# fmt: off
"""Recompute a lowtide report without lowtide: python verify_report.py REPORT.json [JOURNAL ...]

Each figure of a job (`lowtide report --json`, `lowtide meter --out`) follows from its evidence and
energy journals: those given, else those it names. Uncertainty, planned_against_realized and sums
are left to `lowtide verify`. Triples are (low, value, high), energy is in kWh, times are Unix
seconds, a profile is times, cumulative triples and (name, whether counted). Exit code 1: differs.
"""
import json
import sys
from bisect import bisect_right
from collections import namedtuple
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate, groupby, pairwise, product
from math import copysign, hypot, inf
from pathlib import Path
from types import SimpleNamespace

Part = namedtuple("Part", "of drawn read_s unread facts")  # drawn: active, reserved by attempt
ZERO, UNKNOWN = (0.0, 0.0, 0.0), dict.fromkeys(("baseline_g", "saved_g", "saved_percent"))

def plus(*triples): return tuple(map(sum, zip(*triples, strict=True))) if triples else ZERO
def minus(a, b): return tuple(x - y for x, y in zip(a, b, strict=True))
def scaled(triple, factor): return tuple(x * factor for x in triple)
def ordered(t): return min(t[:2]), t[1], max(t[1:])
def wider(t, more): return t and plus(t, (0.0, 0.0, more))
def read(figure): return figure and (figure["low"], figure["value"], figure["high"])
def shown(t): return t and dict(zip(("low", "value", "high"), ordered(t), strict=True))
def at(x, xs, ys):  # triples that run straight from point to point, and level beyond both ends
    i = min(max(1, bisect_right(xs, x)), len(xs) - 1)
    part = min(max(0.0, x - xs[i - 1]) / (xs[i] - xs[i - 1] or 1.0), 1.0)
    return plus(ys[i - 1], scaled(minus(ys[i], ys[i - 1]), part))
def read_journal(data):  # components, what it says of the run, (time, CPU s, share s, readings)
    parts, meta, samples = [], {}, []
    for line in data.decode(errors="replace").split("\n"):
        with suppress(AttributeError, LookupError, TypeError, ValueError):  # a torn line
            row, readings = json.loads(line), {}
            parts, meta = row.get("components", parts), meta | row.get("meta", {})
            if "component" in row:  # found after the start, where it had drawn nothing
                parts = [*parts, row["component"] | {"late": True}]
            for i, *n in row.get("read", ()):
                facts = n.pop() if isinstance(n[-1], dict) else {}
                if n != [*sorted(n[:3]), *sorted(n[3:6]), n[6]] or not all(
                        0 <= x <= 1e18 for x in (*n, *facts.values())):
                    raise ValueError
                readings[parts[i]["name"]] = tuple(n[:3]), tuple(n[3:6]), n[6], facts
            if "read" in row and (not samples or row["at"] >= samples[-1][0]):
                samples.append((row["at"], row["cpu_s"], row.get("share_s"), readings))
    return parts, meta, samples
def held(counter): return list(accumulate(counter, lambda a, b: tuple(map(max, a, b))))
def measure(c, samples, start, end, slept):  # a component in an attempt; its profiles
    rows = [(s[0], ZERO, ZERO, 0.0, {}) for s in samples[:1] if "late" in c]
    rows += [(s[0], *s[3][c["name"]]) for s in samples if c["name"] in s[3]]
    read_s, named = rows[-1][3] if len(rows) > 1 else 0.0, (c["name"], c["method"] == "measured")
    hole, unread, profiles = max(0.0, end - start - read_s - slept), 0.0, []
    if c["method"] == "missing" or len(rows) < 2 or (hole and not read_s):
        rows, read_s = [], 0.0
    if hole and not (rows and hole <= min(2.0, max(0.5, 0.1 * (end - start)))):
        unread = inf if c["max_w"] is None else c["max_w"] * hole / 3.6e6
    if 0 < unread < inf:  # at the end where its runner died, else somewhere within
        begin = rows[-1][0] if rows and end - rows[-1][0] > 2.0 else start
        profiles = [([begin, end], [ZERO, (0.0, 0.0, unread)], named)]
    active, energy = (held([scaled(r[k], 1 / 3.6e6) for r in rows]) for k in (1, 2))
    steps = [ordered(minus(b, a)) for a, b in pairwise(energy)]
    profiles += rows and [([r[0] for r in rows], [*accumulate(steps, plus, initial=ZERO)], named)]
    drawn = rows and [(ordered(minus(active[-1], active[0])), plus(*steps))]
    return Part(c, drawn, read_s, unread, rows[-1][4] if rows else {}), profiles
def joined(p, q): return Part(p.of, *map(lambda x, y: x + y, p[1:4], q[1:4]), q.facts or p.facts)
def drawn(p, k): return plus(*(d[k] for d in p.drawn)) if p.drawn else None
def total(parts, k):  # of what was read; what was not widens its upper bound
    known = [(t, t[1:2] * 3, p.of["method"] == "measured") for p in parts if (t := drawn(p, k))]
    return wider(combined(known), sum(p.unread for p in parts))
def tally(e, journals):  # what all attempts drew and held: slots by their host's ledger, boards
    s, found = SimpleNamespace(profiles=[], attempts=[], boards=[], gpus=[], run_s=0, slot_s=0), {}
    s.bounded, s.metered = True, not any(meta.get("unmetered") for _, meta, _ in journals)
    for a, (parts, meta, samples) in zip(e["attempts"], journals, strict=True):
        start, (last, cpu_s, share_s, _) = a["started_s"], (samples or [(0.0, 0.0, None, {})])[-1]
        a["ended_s"] = end = max(last, start) if a["ended_s"] is None else a["ended_s"]
        lasted, slept, cpus = end - start, meta.get("suspended_s", 0.0), meta.get("cpus", inf)
        s.run_s, slots = s.run_s + lasted, min(e["slots"], cpus)
        s.slot_s += (max(slots * lasted, cpu_s) if share_s is None or cpus == inf
                     else share_s * cpus + slots * min(max(0.0, end - last) + slept, lasted))
        for part, profiles in (own := [measure(c, samples, start, end, slept) for c in parts]):
            key = tuple(part.of[k] for k in ("name", "method", "source"))
            found[key] = joined(found[key], part) if key in found else part
            s.profiles += profiles if s.metered else []
        s.attempts.append(None if meta.get("unmetered") else total([p for p, _ in own], 1))
        s.bounded &= all(p.unread < inf for p, _ in own) if own else lasted <= 2.0
        boards = [c for c in parts if c["name"].startswith("gpu:")]  # a slice is a part of one
        taken = sum(c.get("share", 1.0) for c in boards) + max(0, e["gpus"] - len(boards))
        s.boards, s.gpus = max(s.boards, boards, key=len), s.gpus + [taken] * bool(parts)
    s.parts, s.gpus = list(found.values()), max(s.gpus or [e["gpus"]])
    s.held = s.slot_s / s.run_s if s.run_s > 0 else e["slots"]
    return s
def combined(terms):  # errors add up; those of separate counters, up to 5 % each, add as squares
    ends = []  # terms are (low, value, high), the middles of these, whether counted
    for k in (0, 2):
        gains = [max(-m[k] / 20, min(m[k] / 20, t[k] - m[k])) * counted for t, m, counted in terms]
        rest = sum(t[k] - g for (t, _, _), g in zip(terms, gains, strict=True))
        ends.append(rest + copysign(hypot(*gains), sum(gains)))
    return (max(0.0, ends[0]), sum(t[1] for t, _, _ in terms), ends[1]) if terms else None
def met(profiles, rows, shift=0.0):  # what each part drew in each interval, and whether counted
    found = {}
    for p_times, drawn, named in profiles:
        times = [t + shift for t in p_times]
        times[-1] = max(times[-1], times[0] + 1e-3)
        new = [minus(at(r[1], times, drawn), at(r[0], times, drawn)) for r in rows]
        found[named] = list(map(plus, found.get(named, [ZERO] * len(rows)), new))
    return [(kwh, counted) for (_, counted), kwh in found.items()]
def spread(*to): return list(map(plus, *(kwh for kwh, _ in met(*to)), [ZERO] * len(to[1])))
def grams(kwh, rows, k=1, b=1):  # energy (its end k) times intensity (its end b)
    return sum(e[k] * r[2 + b] for e, r in zip(kwh, rows, strict=True))
def operational(profiles, series, pue, shift=0.0):
    rows = series["intervals"] if series else []
    for a, b in ((times[0] + shift, times[-1] + shift) for times, _, _ in profiles):
        if b - a - sum(max(0.0, min(r[1], b) - max(r[0], a)) for r in rows) > 1.0 or not rows:
            return None
    return combined([([pue[k] * grams(e, rows, k, k) for k in range(3)],
                      [pue[k] * grams(e, rows, 1, k) for k in range(3)], counted)
                     for e, counted in met(profiles, rows, shift)])
def unbroken(attempts, profiles):  # in one piece: without waits, stops and reloads after them
    cuts, found = [(a["ended_s"], b["started_s"]) for a, b in pairwise(attempts)], []
    for a in attempts:
        stops = [(t, min(a["ended_s"], inf if on is None else on)) for t, on in a["stops"]]
        after = [a["started_s"]] * a["resumed"] + [on for _, on in stops]
        cuts += stops + [(t, min(t + a["reload_s"], a["ended_s"])) for t in after]
    apart = pairwise(sorted(t for cut in cuts for t in cut))
    cuts = [(a, b) for a, b in apart if any(t <= a < b <= on for t, on in cuts)]
    for times, drawn, named in profiles:
        edges = sorted({*times, *(t for c in cuts for t in c if times[0] < t < times[-1])})
        left = [t - sum(min(max(t - a, 0.0), b - a) for a, b in cuts) for t in edges]
        kept = [i for i in range(1, len(left)) if left[i] > left[i - 1]]
        steps = [minus(*(at(edges[j], times, drawn) for j in (i, i - 1))) for i in kept]
        new = [left[0], *(left[i] for i in kept)], list(accumulate(steps, plus, initial=ZERO))
        found.append((*(new if cuts else (times, drawn)), named))
    return found, attempts[-1]["ended_s"] - attempts[0]["started_s"] - sum(b - a for a, b in cuts)
def filled(rows, others):  # the holes between intervals filled by those of another series
    holes = zip([-inf, *(r[1] for r in rows)], [*(r[0] for r in rows), inf], strict=True)
    more = ([max(r[0], a), min(r[1], b), *r[2:]] for a, b in holes for r in others)
    return sorted([*rows, *(r for r in more if r[0] < r[1])])
def saved(before, after, there, e, shift):  # bounds: energy, intensity, PUE alike on both sides
    site, home, rows = e["site"], e["home"], [there["intervals"], e["intensity"]["intervals"]]
    one_zone, two = site["zone"] == home["zone"], site["region"] != home["region"]
    rows = [filled(rows[1], rows[0])] * 2 if one_zone else rows
    kwh, ends = [spread(before, rows[0], shift), spread(after, rows[1])], []
    steps = [(x, y, r[2:]) for x, y, r in zip(*kwh, rows[0], strict=False)] if one_zone else [
        *((x, ZERO, [*r[2:], "home"]) for x, r in zip(kwh[0], rows[0], strict=True)),
        *((ZERO, y, r[2:]) for y, r in zip(kwh[1], rows[1], strict=True))]
    pue = [read(x["pue"]) for x in (home, site)]
    for k, p, q in (corner for corner in product(range(3), *pue) if two or corner[1] == corner[2]):
        terms = [(sum(p * x[k] - q * y[k] for x, y, _ in same), r)  # of equal intervals in a row
                 for r, same in groupby(steps, lambda step: step[2])]
        ends += [sum(end(x * r[0], x * r[2]) for x, r in terms) for end in (min, max)]
    was, now = (u[1] * grams(x, r) for u, x, r in zip(pue, kwh, rows, strict=True))
    found = ordered((min(ends), was - now, max(ends)))
    return ZERO if one_zone and max(map(abs, found)) <= 1e-6 * abs(was) else found
def shares(h, sums):  # of all but the boards, and of these, where they are counted apart
    boards = min(1.0, sums.gpus / h["gpus"]) if h["gpus"] else 0.0
    rest = min(1.0, max(sums.held / h["slots"], 0.0 if h["boards_kg"] else boards))
    return {"reserved_share": rest, "boards_share": boards if h["boards_kg"] else None}
def embodied(site, seconds, sums):  # TE x time / lifespan x share of the machine
    h, whole = site["hardware"], [c for c in sums.boards if not c["name"].startswith("gpu:MIG-")]
    if h is None or (sums.gpus and h["gpus"] < max(1, len(whole))):  # boards that it lacks
        return None
    (rest, boards), apart = shares(h, sums).values(), read(h["boards_kg"]) or ZERO
    kg = plus(scaled(minus(read(h["total_kg"]), apart), rest), scaled(apart, boards or 0.0))
    return scaled(kg, seconds / 3.6 / h["lifespan_h"]) if seconds > 0 and kg[1] > 0 else None
def against(start, there, e, sums):  # the same energy from another start on, and what was saved
    here, site, home, runs = e["intensity"], e["site"], e["home"], e["attempts"]
    shift, (before, run_s) = start - runs[0]["started_s"], unbroken(runs, sums.profiles)
    baseline = operational(before, there, read(home["pue"]), shift)
    known = baseline and operational(sums.profiles, here, read(site["pue"])) and sums.bounded
    if not known or any(here[k] != there[k] for k in ("signal", "factors", "flow")):
        return UNKNOWN
    found, then = saved(before, sums.profiles, there, e, shift), embodied(home, run_s, sums)
    if then and (now := embodied(site, sums.run_s, sums)):
        baseline = plus(baseline, then)
        if home["region"] == site["region"]:  # only what it held for longer counts
            then, now = ZERO, embodied(site, sums.run_s - run_s, sums) or ZERO
        found = minus(plus(found, then), now[::-1])
    percent = 100 * found[1] / baseline[1] if baseline[1] > 0 else None
    return {"baseline_g": shown(baseline), "saved_g": shown(found), "saved_percent": percent}
def figures(report, journals):  # what the report should say by its evidence, in its shape
    e, sums = report["evidence"], tally(report["evidence"], journals)
    site, late, more = e["site"], e["first_come"], 0.0 if sums.bounded else inf
    pue, use, h = read(site["pue"]), site["water"], site["hardware"]
    active, reserved = (wider(total(sums.parts, k), more) if sums.metered else None for k in (0, 1))
    o = wider(operational(sums.profiles, e["intensity"], pue), more)
    m, metered = embodied(site, sums.run_s, sums), None
    whole = plus(o, m) if o and m else None
    kwh = spread(sums.profiles, rows := e["intensity"]["intervals"]) if o else []
    mean = o and [grams(kwh, rows, 1, b) / sum(x[1] for x in kwh) for b in range(3)]
    if reserved and reserved[1] > 0 and sums.bounded and all(p.drawn for p in sums.parts):
        metered = 100 / reserved[1] * sum(drawn(p, 1)[1] for p in sums.parts if p.of["method"] in (
            "measured", "integrated") and not p.of["replayed"])
    counts = [report["functional_unit"]["count"] if e["unit"] else 1.0]
    counts += [unit["count"] for unit in report["functional_units"]]
    scores = [{"sci_g_per_unit": shown(scaled(whole, 1 / n)) if n and whole and not more else None}
              for n in counts]
    return against(e["release_s"], e["home_intensity"], e, sums) | scores[0] | {
        "energy_kwh": {"active": shown(active), "reserved": shown(reserved)},
        "components": [{"coverage_percent": 100 * min(1.0, p.read_s / (sums.run_s or inf)),
                        "facts": p.facts, "active_kwh": shown(wider(drawn(p, 0), p.unread)),
                        "energy_kwh": shown(wider(drawn(p, 1), p.unread))} for p in sums.parts],
        "measured_percent": metered, "functional_unit": {"count": counts[0]},
        "intensity": {"g_per_kwh": mean and mean[1], "bounds": shown(mean)},
        "pue": {"value": pue[1], "bounds": shown(pue)}, "functional_units": scores[1:],
        "water": reserved and use and {"l_per_kwh": use["l_per_kwh"], "litres": shown([
            x and y and x * y for x, y in zip(reserved, read(use["l_per_kwh"]), strict=True)])},
        "operational_g": shown(o), "embodied_g": shown(m), "total_g": shown(whole),
        "hardware": h and shares(h, sums) | {k: h[k] for k in h if k in (report["hardware"] or ())},
        "first_come": against(late["start_s"], late["intensity"], e, sums) if late else UNKNOWN,
        "attempts": [{"energy_kwh": shown(x)} for x in sums.attempts],
        "within": e["within"] if all(j[1].get("within") == e["within"] for j in journals) else None,
    }
def differences(said, made, least, path=""):
    made = None if made == inf else made  # no upper bound is known
    if isinstance(made, (dict, list)) and type(said) is type(made):
        said, made = (x if isinstance(x, dict) else dict(enumerate(x)) for x in (said, made))
        for k in made:
            yield from differences(said.get(k), made[k], least, f"{path} {k}")
    elif said != made and not (isinstance(said, float) and isinstance(made, float) and abs(
            said - made) <= max(least * ("saved" in path), 1e-9 * abs(made))):
        yield f" {path}: {said} is reported, {made} follows from the evidence"
def by_digest(files): return {sha256(d := Path(f).read_bytes()).hexdigest(): d for f in files}
def faults(report, given):  # what of a report does not fit its evidence and journals
    e, form = report["evidence"], {"sort_keys": True, "separators": (",", ":")}
    if e.pop("report_sha256") != sha256(json.dumps(report, **form).encode()).hexdigest():
        yield "  it was changed since it was made: its seal does not fit"
    names = [a["journal"] for a in e["attempts"]]
    given = given or by_digest(n["path"] for n in names if n)
    if any(n and n["sha256"] not in given for n in names):
        yield f"  a journal was changed, or is not among those given: {names}"
        return
    made = figures(report, [read_journal(given[n["sha256"]] if n else b"") for n in names])
    grams_g = [made[n]["value"] for n in ("operational_g", "baseline_g") if made[n]]
    yield from differences(report, made, 1e-12 * max(grams_g, default=0.0))
def main(path, *files):
    document, bad = json.loads(Path(path).read_text()), 0
    given = by_digest(files)
    if document.pop("schema_version", 1) != 1:
        sys.exit("its schema_version is not the one that this file knows")
    for report in document.get("jobs", [document]):
        lines = list(faults(report, given)) if report["evidence"] else ["  there is no evidence"]
        print(f"job {report['job_id']}: {'differs' if lines else 'verified'}", *lines, sep="\n")
        bad += len(lines)
    return min(bad, 1)
if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
