"""Recompute a lowtide report: a referee that imports nothing of lowtide.

    python verify_report.py REPORT.json [JOURNAL.jsonl ...]

REPORT.json comes from `lowtide report --json` or `lowtide meter --out`. Each figure of a job
follows from its evidence and its energy journals: those given, else the files that are named there.
What explains them (uncertainty, planned_against_realized) is for `lowtide verify`. Triples are
(low, value, high), energy is in kWh, times are Unix seconds. Exit code 1: something does not fit.
"""

# fmt: off
import json
import sys
from bisect import bisect_right
from collections import namedtuple
from hashlib import sha256
from itertools import accumulate, groupby, pairwise, product
from math import copysign, hypot, inf
from pathlib import Path

Profile = namedtuple("Profile", "times drawn part counted")  # drawn: cumulative triples
Sums = namedtuple("Sums", "components profiles attempts run_s cpu_s ends")
ZERO = (0.0, 0.0, 0.0)
UNKNOWN = dict.fromkeys(("baseline_g", "saved_g", "saved_percent"))

def plus(*triples): return tuple(map(sum, zip(*triples, strict=True))) if triples else ZERO
def minus(a, b): return tuple(x - y for x, y in zip(a, b, strict=True))
def scaled(triple, factor): return tuple(x * factor for x in triple)
def ordered(t): return min(t[:2]), t[1], max(t[1:])
def read(figure): return figure and (figure["low"], figure["value"], figure["high"])
def shown(t): return t and dict(zip(("low", "value", "high"), ordered(t), strict=True))
def at(x, xs, ys):  # triples that run straight from point to point, and level beyond both ends
    i = bisect_right(xs, x)
    if i in (0, len(xs)):
        return ys[min(i, len(xs) - 1)]
    return plus(ys[i - 1], scaled(minus(ys[i], ys[i - 1]), (x - xs[i - 1]) / (xs[i] - xs[i - 1])))

def read_journal(data):
    """Its components, what it says of the run, and (time, CPU seconds, readings) of each sample."""
    parts, meta, samples = [], {}, []
    for line in data.decode(errors="replace").split("\n"):
        try:
            row, readings = json.loads(line), {}
            parts, meta = row.get("components", parts), meta | row.get("meta", {})
            for i, *n in row.get("read", ()):
                facts = n.pop() if isinstance(n[-1], dict) else {}
                good = len(n) == 7 and n == sorted(n[:3]) + sorted(n[3:6]) + n[6:]
                if not good or not all(0 <= x <= 1e18 for x in (*n, *facts.values())):
                    raise ValueError
                readings[parts[i]["name"]] = tuple(n[:3]), tuple(n[3:6]), n[6], facts
            if "read" in row and (not samples or row["at"] >= samples[-1][0]):
                samples.append((row["at"], row["cpu_s"], readings))
        except (AttributeError, LookupError, TypeError, ValueError):
            continue  # a torn line
    return parts, meta, samples
def held(counter): return list(accumulate(counter, lambda a, b: tuple(map(max, a, b))))

def tally(attempts, journals):
    found, profiles, whole, run_s, cpu_s, ends = {}, [], [], 0.0, 0.0, []
    for a, (parts, meta, samples) in zip(attempts, journals, strict=True):
        start, (last, cpu, _) = a["started_s"], samples[-1] if samples else (0.0, 0.0, {})
        ends.append(end := max(last, start) if a["ended_s"] is None else a["ended_s"])
        run_s, cpu_s, own = run_s + end - start, cpu_s + cpu, []
        for c in parts:
            rows = [(s[0], *s[2][c["name"]]) for s in samples if c["name"] in s[2]]
            sums = found.setdefault((c["name"], c["method"], c["source"]), [c, [], [], 0.0, {}])
            if c["method"] == "missing" or len(rows) < 2:
                continue
            active, energy = (held([scaled(r[k], 1 / 3.6e6) for r in rows]) for k in (1, 2))
            named, counted = f"{c['name']} energy ({c['method']})", c["method"] == "measured"
            drawn = accumulate((ordered(minus(b, a)) for a, b in pairwise(energy)), plus,
                               initial=ZERO)
            new = [Profile([r[0] for r in rows], list(drawn), named, counted)]
            hole = max(0.0, end - start - rows[-1][3] - max(0.0, meta.get("suspended_s") or 0.0))
            if hole > 2.0 and c["max_w"] is not None:  # there it drew at most its full power
                begin = rows[-1][0] if end - rows[-1][0] > 2.0 else start
                drawn = [ZERO, (0.0, 0.0, c["max_w"] * hole / 3.6e6)]
                new.append(Profile([begin, end], drawn, named, counted))
            energy = plus(*(p.drawn[-1] for p in new))
            sums[1].append(ordered(minus(active[-1], active[0])))
            sums[2].append(energy)
            sums[3:] = sums[3] + rows[-1][3], rows[-1][4] or sums[4]
            profiles += new
            own.append((energy, counted))
        whole.append(combined(own))
    return Sums(list(found.values()), profiles, whole, run_s, cpu_s, ends)
def one_end(terms):
    """Errors add up; those of separate counters, up to 5 % each, add as squares."""
    gains = [max(-m / 20, min(m / 20, b - m)) * counted for m, b, counted in terms]
    rest = sum(b - g for (_, b, _), g in zip(terms, gains, strict=True))
    return rest + copysign(hypot(*gains), sum(gains))
def combined(parts):
    low, high = (one_end([(t[1], t[k], counted) for t, counted in parts]) for k in (0, 2))
    return (max(0.0, low), sum(t[1] for t, _ in parts), high) if parts else None
def met(profiles, rows, shift=0.0):
    found = {}  # by part: what was drawn in each interval of the intensity; whether it was counted
    for p in profiles:
        times = [t + shift for t in p.times]
        times[-1] = max(times[-1], times[0] + 1e-3)
        new = [minus(at(r[1], times, p.drawn), at(r[0], times, p.drawn)) for r in rows]
        old = found.get(p.part, ([ZERO] * len(rows), 0))[0]
        found[p.part] = list(map(plus, old, new)), p.counted
    return found.values()
def grams(kwh, rows, k=1, b=1):  # energy (its end k) times intensity (its end b)
    return sum(e[k] * r[2 + b] for e, r in zip(kwh, rows, strict=True))
def operational(profiles, series, pue, shift=0.0):
    rows = series["intervals"] if series else []
    for a, b in ((p.times[0] + shift, p.times[-1] + shift) for p in profiles):
        if b - a - sum(max(0.0, min(r[1], b) - max(r[0], a)) for r in rows) > 1.0 or not rows:
            return None
    drawn = met(profiles, rows, shift)
    low, high = (one_end([(pue[k] * grams(e, rows, 1, k), pue[k] * grams(e, rows, k, k), counted)
                          for e, counted in drawn]) for k in (0, 2))
    return (max(0.0, low), pue[1] * sum(grams(e, rows) for e, _ in drawn), high) if drawn else None

def unbroken(attempts, sums):
    """The profiles of a run in one piece: without waits, stops and the reloads after them."""
    cuts, merged, found = [], [], []
    for i, (a, end) in enumerate(zip(attempts, sums.ends, strict=True)):
        cuts += [(sums.ends[i - 1], a["started_s"])] if i else []
        after = [a["started_s"]] if a["resumed"] else []
        for stopped, went_on in a["stops"]:
            after.append(end if went_on is None else min(went_on, end))
            cuts.append((stopped, after[-1]))
        cuts += [(t, min(t + a["reload_s"], end)) for t in after]
    for a, b in sorted(c for c in cuts if c[1] > c[0]):
        if merged and a <= merged[-1][1]:
            a, b = merged[-1][0], max(b, merged.pop()[1])
        merged.append((a, b))
    for p in sums.profiles:
        edges = sorted({*p.times, *(x for c in merged for x in c if p.times[0] < x < p.times[-1])})
        left = [t - sum(min(max(t - a, 0.0), b - a) for a, b in merged) for t in edges]
        drawn = [at(t, p.times, p.drawn) for t in edges]
        kept = [i for i in range(1, len(left)) if left[i] > left[i - 1]]
        steps = accumulate((minus(drawn[i], drawn[i - 1]) for i in kept), plus, initial=ZERO)
        new = Profile([left[0], *(left[i] for i in kept)], list(steps), p.part, p.counted)
        found.append(new if merged else p)
    return found, sums.ends[-1] - attempts[0]["started_s"] - sum(b - a for a, b in merged)
def filled(rows, others):  # the holes between intervals filled by those of another series
    holes = zip([-inf, *(r[1] for r in rows)], [*(r[0] for r in rows), inf], strict=True)
    more = ([max(r[0], a), min(r[1], b), *r[2:]] for a, b in holes for r in others)
    return sorted([*rows, *(r for r in more if r[0] < r[1])])
def saved(before, after, there, e, shift):  # bounds: energy, intensity, PUE alike on both sides
    site, home, rows = e["site"], e["home"], [there["intervals"], e["intensity"]["intervals"]]
    if one_zone := site["zone"] == home["zone"]:
        rows = [filled(rows[1], rows[0])] * 2
    kwh = [list(map(plus, *(e for e, _ in met(ps, r, s)), [ZERO] * len(r)))
           for ps, r, s in zip((before, after), rows, (shift, 0.0), strict=True)]
    pue, ends = [read(x["pue"]) for x in (home, site)], []
    pues = zip(*pue, strict=True), product(pue[0][::2], pue[1][::2])
    for k, (p, q) in product(range(3), pues[site["region"] != home["region"]]):
        terms = [[(f * d[k], tuple(r[2:])) for d, r in zip(ds, rs, strict=True)]
                 for f, ds, rs in zip((p, -q), kwh, rows, strict=True)]
        if one_zone:  # of equal intervals in a row only the sum of both sides counts
            both = [(a[0] + b[0], a[1]) for a, b in zip(*terms, strict=True)]
            terms = [[(sum(x for x, _ in g), r) for r, g in groupby(both, lambda x: x[1])]]
        ends += [sum(end(x * r[0], x * r[2]) for ts in terms for x, r in ts) for end in (min, max)]
    was = pue[0][1] * grams(kwh[0], rows[0])
    found = ordered((min(ends), was - pue[1][1] * grams(kwh[1], rows[1]), max(ends)))
    return ZERO if one_zone and max(map(abs, found)) <= 1e-6 * abs(was) else found
def embodied(site, seconds, e):  # TE x time / lifespan x share of the machine
    if (h := site["hardware"]) is None:
        return None
    share = max(e["held"] / h["slots"], e["gpus"] / h["gpus"] if h["gpus"] else 0.0)
    return scaled(read(h["total_kg"]), seconds / 3.6 / h["lifespan_h"] * min(1.0, share))
def against(start, there, e, sums):  # the same energy from another start on, and what was saved
    here, site, home = e["intensity"], e["site"], e["home"]
    shift, (before, run_s) = start - e["attempts"][0]["started_s"], unbroken(e["attempts"], sums)
    baseline = operational(before, there, read(home["pue"]), shift)
    if not (baseline and operational(sums.profiles, here, read(site["pue"]))) or any(
            here[k] != there[k] for k in ("signal", "factors", "flow")):
        return UNKNOWN
    found, then = saved(before, sums.profiles, there, e, shift), embodied(home, run_s, e)
    if then and (now := embodied(site, sums.run_s, e)) and now[1]:
        baseline = plus(baseline, then)
        if home["region"] == site["region"]:  # only what it held for longer counts
            then, now = ZERO, embodied(site, sums.run_s - run_s, e)
        found = minus(plus(found, then), now[::-1])
    percent = 100 * found[1] / baseline[1] if baseline[1] > 0 else None
    return {"baseline_g": shown(baseline), "saved_g": shown(found), "saved_percent": percent}
def figures(report, journals):  # what the report should say by its evidence, in its shape
    e, sums = report["evidence"], tally(report["evidence"]["attempts"], journals)
    e["held"] = max(e["slots"], sums.cpu_s / sums.run_s if sums.run_s > 0 else 0.0)
    pue, late = read(e["site"]["pue"]), e["first_come"]
    parts = [(c, plus(*a), plus(*r) if r else None, t, f) for c, a, r, t, f in sums.components]
    active, reserved = (combined([(c[k], c[0]["method"] == "measured") for c in parts if c[2]])
                        for k in (1, 2))
    o, m = operational(sums.profiles, e["intensity"], pue), embodied(e["site"], sums.run_s, e)
    m = m if m and m[1] > 0 else None
    total, mean = plus(o, m) if o and m else None, None
    if o:  # the intensity weighted by energy
        rows = e["intensity"]["intervals"]
        drawn = [k for k, _ in met(sums.profiles, rows)]
        mean = [sum(grams(k, rows, 1, b) for k in drawn) for b in range(3)]
        mean = scaled(mean, 1 / sum(x[1] for k in drawn for x in k))
    metered = sum(c[2][1] for c in parts if c[2] and not c[0].get("replayed")
                  and c[0]["method"] in ("measured", "integrated"))
    count = report["functional_unit"]["count"] if e["unit"] else 1.0
    per = [shown(scaled(total, 1 / n) if total and n else None)
           for n in (count, *(u["count"] for u in report["functional_units"]))]
    return against(e["release_s"], e["home_intensity"], e, sums) | {
        "energy_kwh": {"active": shown(active), "reserved": shown(reserved)},
        "components": [{
            "active_kwh": shown(r and a), "energy_kwh": shown(r), "facts": f,
            "coverage_percent": min(100.0, 100 * t / sums.run_s) if sums.run_s > 0 else 0.0,
        } for _, a, r, t, f in parts],
        "measured_percent": 100 * metered / reserved[1] if reserved and reserved[1] > 0 else None,
        "intensity": {"g_per_kwh": mean and mean[1], "bounds": shown(mean)},
        "pue": {"value": pue[1], "bounds": shown(pue)},
        "operational_g": shown(o), "embodied_g": shown(m), "total_g": shown(total),
        "functional_unit": {"count": count}, "sci_g_per_unit": per[0],
        "functional_units": [{"sci_g_per_unit": x} for x in per[1:]],
        "first_come": against(late["start_s"], late["intensity"], e, sums) if late else UNKNOWN,
        "attempts": [{"energy_kwh": shown(x)} for x in sums.attempts],
    }
def differences(said, made, least, path=""):
    if isinstance(made, (dict, list)) and type(said) is type(made):
        said, made = (x if isinstance(x, dict) else dict(enumerate(x)) for x in (said, made))
        for k in made:
            yield from differences(said.get(k), made[k], least, f"{path} {k}")
    elif said != made and not (isinstance(said, float) and isinstance(made, float)
                               and abs(said - made) <= max(least, 1e-9 * abs(made))):
        yield f" {path}: {said} is reported, {made} follows from the evidence"
def faults(report, given):  # what of a report does not fit its evidence and journals
    e, journals = report["evidence"], []
    seal, form = e.pop("report_sha256"), {"sort_keys": True, "separators": (",", ":")}
    if sha256(json.dumps(report, **form).encode()).hexdigest() != seal:
        yield "  it was changed since it was made: its seal does not fit"
    for name in (a["journal"] for a in e["attempts"]):
        data = b"" if not name else given.get(name["sha256"]) or (
            b"" if given else Path(name["path"]).read_bytes())
        if name and sha256(data).hexdigest() != name["sha256"]:
            yield f"  its journal is missing or was changed: {name}"
            return
        journals.append(read_journal(data))
    made = figures(report, journals)
    grams_g = [x for n in ("operational_g", "baseline_g") for x in (read(made[n]) or ())]
    yield from differences(report, made, 1e-12 * max(grams_g, default=0.0))
def main(path, *files):
    document, bad = json.loads(Path(path).read_text()), 0
    given = {sha256(d).hexdigest(): d for d in (Path(f).read_bytes() for f in files)}
    for report in document.get("jobs", [document]):
        report.pop("schema_version", None)
        lines = list(faults(report, given)) if report["evidence"] else ["  there is no evidence"]
        print(f"job {report['job_id']}: {'differs' if lines else 'verified'}", *lines, sep="\n")
        bad += len(lines)
    return min(bad, 1)
if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
