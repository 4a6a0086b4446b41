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
Part = namedtuple("Part", "of active energy read_s unread facts")  # a component in an attempt
Sums = namedtuple("Sums", "parts profiles attempts ends run_s held gpus boards unbounded unmetered")
ZERO = (0.0, 0.0, 0.0)
UNKNOWN = dict.fromkeys(("baseline_g", "saved_g", "saved_percent"))

def plus(*triples): return tuple(map(sum, zip(*triples, strict=True))) if triples else ZERO
def minus(a, b): return tuple(x - y for x, y in zip(a, b, strict=True))
def scaled(triple, factor): return tuple(x * factor for x in triple)
def ordered(t): return min(t[:2]), t[1], max(t[1:])
def wider(t, more): return t and plus(t, (0.0, 0.0, more))  # without an upper bound: by inf
def read(figure): return figure and (figure["low"], figure["value"], figure["high"])
def shown(t):
    return t and {"low": min(t[:2]), "value": t[1], "high": max(t[1:]) if t[2] < inf else None}
def at(x, xs, ys):  # triples that run straight from point to point, and level beyond both ends
    i = bisect_right(xs, x)
    if i in (0, len(xs)):
        return ys[min(i, len(xs) - 1)]
    return plus(ys[i - 1], scaled(minus(ys[i], ys[i - 1]), (x - xs[i - 1]) / (xs[i] - xs[i - 1])))

def read_journal(data):
    """Its components, what it says of the run, samples: (time, CPU and share seconds, readings)."""
    parts, meta, samples = [], {}, []
    for line in data.decode(errors="replace").split("\n"):
        try:
            row, readings = json.loads(line), {}
            parts, meta = row.get("components", parts), meta | row.get("meta", {})
            if late := row.get("component"):  # found after the start: it had drawn nothing then
                parts = [*parts, late]
                if samples and late["method"] != "missing":
                    samples[0][3][late["name"]] = ZERO, ZERO, 0.0, {}
            for i, *n in row.get("read", ()):
                facts = n.pop() if isinstance(n[-1], dict) else {}
                good = len(n) == 7 and n == sorted(n[:3]) + sorted(n[3:6]) + n[6:]
                if not good or not all(0 <= x <= 1e18 for x in (*n, *facts.values())):
                    raise ValueError
                readings[parts[i]["name"]] = tuple(n[:3]), tuple(n[3:6]), n[6], facts
            if "read" in row and (not samples or row["at"] >= samples[-1][0]):
                samples.append((row["at"], row["cpu_s"], row.get("share_s"), readings))
        except (AttributeError, LookupError, TypeError, ValueError):
            continue  # a torn line
    return parts, meta, samples
def held(counter): return list(accumulate(counter, lambda a, b: tuple(map(max, a, b))))

def measure(c, samples, start, end, slept):
    """What a component drew in an attempt, and over time; unread: at most, while nothing read it."""
    rows = [(s[0], *s[3][c["name"]]) for s in samples if c["name"] in s[3]]
    read_s = rows[-1][3] if len(rows) > 1 else 0.0
    hole, named = max(0.0, end - start - read_s - slept), f"{c['name']} energy ({c['method']})"
    if c["method"] == "missing" or len(rows) < 2 or (hole and not read_s):
        rows, read_s = [], 0.0
    unread, profiles, counted = 0.0, [], c["method"] == "measured"
    if hole and not (rows and hole <= min(2.0, max(0.5, 0.1 * (end - start)))):
        unread = inf if c["max_w"] is None else c["max_w"] * hole / 3.6e6
    if 0 < unread < inf:  # at the end where its runner died, else somewhere within
        begin = rows[-1][0] if rows and end - rows[-1][0] > 2.0 else start
        profiles.append(Profile([begin, end], [ZERO, (0.0, 0.0, unread)], named, counted))
    if not rows:
        return Part(c, None, None, 0.0, unread, {}), profiles
    active, energy = (held([scaled(r[k], 1 / 3.6e6) for r in rows]) for k in (1, 2))
    steps = (ordered(minus(b, a)) for a, b in pairwise(energy))
    profiles.append(Profile([r[0] for r in rows], list(accumulate(steps, plus, initial=ZERO)),
                            named, counted))
    active, energy = ordered(minus(active[-1], active[0])), profiles[-1].drawn[-1]
    return Part(c, active, energy, read_s, unread, rows[-1][4]), profiles
def tally(e, journals):
    """What all attempts drew, and what they held: slots by the ledger of their host, and boards."""
    found, profiles, attempts, ends, run_s, slot_s, boards = {}, [], [], [], 0.0, 0.0, []
    unbounded = unmetered = False
    for a, (parts, meta, samples) in zip(e["attempts"], journals, strict=True):
        start, (last, cpu_s, share_s, _) = a["started_s"], (samples or [(0.0, 0.0, None, {})])[-1]
        ends.append(end := max(last, start) if a["ended_s"] is None else a["ended_s"])
        run_s, slept = run_s + end - start, max(0.0, meta.get("suspended_s") or 0.0)
        slots = min(e["slots"], meta.get("cpus") or inf)
        unseen_s = min(max(0.0, end - last) + slept, end - start)
        known = share_s is not None and meta.get("cpus")
        slot_s += (share_s * meta["cpus"] + slots * unseen_s if known
                   else max(slots * (end - start), cpu_s))
        own = [measure(c, samples, start, end, slept) for c in parts]
        for part, new in own:
            c, profiles = part.of, profiles + new
            found.setdefault((c["name"], c["method"], c["source"]), []).append(part)
        drawn = total([part for part, _ in own], "energy")
        attempts.append(None if meta.get("unmetered") else drawn)
        unmetered |= bool(meta.get("unmetered"))  # a part of the job's own work: there is no total
        unbounded |= any(p.unread == inf for p, _ in own) or not own and end - start > 2.0
        boards = max(boards, [n[4:] for c in parts if (n := c["name"]).startswith("gpu:")], key=len)
    parts = [Part(ps[0].of, *(plus(*k) if (k := [x for x in figures if x]) else None
                              for figures in ([p.active for p in ps], [p.energy for p in ps])),
                  sum(p.read_s for p in ps), sum(p.unread for p in ps),
                  next((p.facts for p in ps[::-1] if p.facts), {})) for ps in found.values()]
    return Sums(parts, [] if unmetered else profiles, attempts, ends, run_s,
                slot_s / run_s if run_s > 0 else e["slots"], max(e["gpus"], len(boards)),
                sum(not n.startswith("MIG-") for n in boards), unbounded, unmetered)
def total(parts, name):  # of what was read; what was not widens its upper bound
    drawn = [(getattr(p, name), p.of["method"] == "measured") for p in parts]
    return wider(combined([d for d in drawn if d[0]]), sum(p.unread for p in parts))
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
def shares(h, sums):  # of the machine: the boards, where they are counted apart, and the rest
    boards = min(1.0, sums.gpus / h["gpus"]) if h["gpus"] else 0.0
    return min(1.0, max(sums.held / h["slots"], 0.0 if h["boards_kg"] else boards)), boards
def embodied(site, seconds, sums):  # TE x time / lifespan x share of the machine
    h = site["hardware"]
    if h is None or (sums.gpus and h["gpus"] < max(1, sums.boards)):  # boards that it lacks
        return None
    (rest, boards), apart = shares(h, sums), read(h["boards_kg"]) or ZERO
    kg = plus(scaled(minus(read(h["total_kg"]), apart), rest), scaled(apart, boards))
    return scaled(kg, seconds / 3.6 / h["lifespan_h"])
def against(start, there, e, sums):  # the same energy from another start on, and what was saved
    here, site, home = e["intensity"], e["site"], e["home"]
    shift, (before, run_s) = start - e["attempts"][0]["started_s"], unbroken(e["attempts"], sums)
    baseline = operational(before, there, read(home["pue"]), shift)
    now = operational(sums.profiles, here, read(site["pue"]))
    if sums.unbounded or not (baseline and now) or any(
            here[k] != there[k] for k in ("signal", "factors", "flow")):
        return UNKNOWN
    found, then = saved(before, sums.profiles, there, e, shift), embodied(home, run_s, sums)
    if then and (now := embodied(site, sums.run_s, sums)) and now[1] > 0:
        baseline = plus(baseline, then)
        if home["region"] == site["region"]:  # only what it held for longer counts
            then, now = ZERO, embodied(site, max(0.0, sums.run_s - run_s), sums)
        found = minus(plus(found, then), now[::-1])
    percent = 100 * found[1] / baseline[1] if baseline[1] > 0 else None
    return {"baseline_g": shown(baseline), "saved_g": shown(found), "saved_percent": percent}
def figures(report, journals):  # what the report should say by its evidence, in its shape
    e, sums = report["evidence"], tally(report["evidence"], journals)
    pue, late, h, water = read(e["site"]["pue"]), e["first_come"], *map(e["site"].get, (
        "hardware", "water"))
    active, reserved = (None if sums.unmetered else wider(total(sums.parts, name),
                        inf if sums.unbounded else 0.0) for name in ("active", "energy"))
    o, m = operational(sums.profiles, e["intensity"], pue), embodied(e["site"], sums.run_s, sums)
    o, m = wider(o, inf if sums.unbounded else 0.0), m if m and m[1] > 0 else None
    whole, mean = plus(o, m) if o and m else None, None
    if o:  # the intensity weighted by energy
        rows = e["intensity"]["intervals"]
        drawn = [k for k, _ in met(sums.profiles, rows)]
        mean = [sum(grams(k, rows, 1, b) for k in drawn) for b in range(3)]
        mean = scaled(mean, 1 / sum(x[1] for k in drawn for x in k))
    metered = None
    if reserved and reserved[1] > 0 and not sums.unbounded and all(p.energy for p in sums.parts):
        metered = 100 / reserved[1] * sum(
            p.energy[1] for p in sums.parts
            if p.of["method"] in ("measured", "integrated") and not p.of["replayed"])
    count = report["functional_unit"]["count"] if e["unit"] else 1.0
    per = [shown(scaled(whole, 1 / n) if whole and n and not sums.unbounded else None)
           for n in (count, *(u["count"] for u in report["functional_units"]))]
    return against(e["release_s"], e["home_intensity"], e, sums) | {
        "energy_kwh": {"active": shown(active), "reserved": shown(reserved)},
        "components": [{
            "active_kwh": shown(wider(p.active, p.unread)), "facts": p.facts,
            "energy_kwh": shown(wider(p.energy, p.unread)),
            "coverage_percent": min(100.0, 100 * p.read_s / sums.run_s) if sums.run_s > 0 else 0.0,
        } for p in sums.parts],
        "measured_percent": metered,
        "intensity": {"g_per_kwh": mean and mean[1], "bounds": shown(mean)},
        "pue": {"value": pue[1], "bounds": shown(pue)},
        "water": reserved and water and {"l_per_kwh": water["l_per_kwh"], "litres": shown(tuple(
            x and y and x * y for x, y in zip(reserved, read(water["l_per_kwh"]), strict=True)))},
        "operational_g": shown(o), "embodied_g": shown(m), "total_g": shown(whole),
        "hardware": h and {k: h[k] for k in ("total_kg", "boards_kg", "lifespan_h", "slots", "gpus")}
        | {"reserved_share": shares(h, sums)[0],
           "boards_share": shares(h, sums)[1] if h["boards_kg"] else None},
        "functional_unit": {"count": count}, "sci_g_per_unit": per[0],
        "functional_units": [{"sci_g_per_unit": x} for x in per[1:]],
        "first_come": against(late["start_s"], late["intensity"], e, sums) if late else UNKNOWN,
        "attempts": [{"energy_kwh": shown(x)} for x in sums.attempts],
        "within": e["within"] if all(j[1].get("within") == e["within"] for j in journals) else None,
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
    if report.pop("schema_version", 1) != 1:
        yield "  it is of another form than this file knows"
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
    grams_g = [x for n in ("operational_g", "baseline_g") for x in (made[n] or {}).values() if x]
    yield from differences(report, made, 1e-12 * max(grams_g, default=0.0))
def main(path, *files):
    document, bad = json.loads(Path(path).read_text()), 0
    given = {sha256(d).hexdigest(): d for d in (Path(f).read_bytes() for f in files)}
    for report in document.get("jobs", [document]):
        report["schema_version"] = document.get("schema_version", 1)
        lines = list(faults(report, given)) if report["evidence"] else ["  there is no evidence"]
        print(f"job {report['job_id']}: {'differs' if lines else 'verified'}", *lines, sep="\n")
        bad += len(lines)
    return min(bad, 1)
if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
