#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs tests in a build configured with --enable-perturb, with delays at chosen places.

First each test runs as it is, and again to see which places (sites) it passes. Then the sites are
dealt into groups by the seed, and the test runs once for each group, delayed at its sites: a sweep, in
which every site has its turn. What fails is reduced to the sites that matter, named by file and line.

  perturb.py BUILD [--seed=N] [--seconds=S] [--only=REGEX] [--sweeps=N]
  perturb.py BUILD --mutants SOURCES [--only=REGEX]     each mutant must be found
  perturb.py BUILD --list
"""
import argparse
import concurrent.futures
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TEXT_BYTES, MODULES, NAME_BYTES = 4 << 20, 4, 252  # perturb.h
BITMAP = TEXT_BYTES * 2 // 8
MODULE = 4 + NAME_BYTES + 2 * BITMAP
HANGS = 90  # seconds: no test of these takes so long, delayed or not
MUTANT_SECONDS = 120
MUTANT_RUNS = 1000  # at least, and at most four times as long: a busy machine does few in two minutes
LONG_US, SHORT_US = 50000, 8000
STILL = 2.3  # seconds: longer than the library waits for a lock
BACKENDS = ['pagemap', 'uffd', 'mprotect', 'softdirty']


class Job:
    def __init__(self, name, argv, share, most_us):
        self.name, self.argv, self.share, self.most_us = name, argv, share, most_us
        self.sites, self.took = [], 0.0
        self.failure = None


def all_jobs():
    """Share: groups of sites in a sweep of five minutes, more where a run is short. The longest delay of what
    is made for it lets every wait of the library run out. Tests that expect exact answers are delayed for less
    than a collect waits (20 ms)."""
    jobs = []
    for backend in BACKENDS:
        for case in ['ranges handed over', 'children', 'new memory']:
            jobs.append(Job('stress %s %s' % (backend, case),
                            ['tests/perturb/stress', backend, '--seconds=1', case], 40, LONG_US))
        for case in ['forks', 'ends']:
            jobs.append(Job('stress_jemalloc %s %s' % (backend, case),
                            ['tests/perturb/stress_jemalloc', backend, '--seconds=1', case],
                            40 if backend == 'pagemap' else 20, LONG_US))
        for test, share in [('threads', 15), ('track', 20), ('preclean', 20), ('suspend', 30), ('sigsegv', 30),
                            ('handover', 6)]:
            jobs.append(Job('%s %s' % (test, backend), ['tests/live/%s_test' % test, backend], share, SHORT_US))
        for test in ['random', 'program']:
            jobs.append(Job('%s %s' % (test, backend), ['tests/soundness/random/%s_test' % test, backend], 12, SHORT_US))
    for test, share in [('fork', 20), ('arena', 30), ('hooks', 6), ('handover', 6), ('rows', 4)]:
        jobs.append(Job('jemalloc %s pagemap' % test, ['tests/jemalloc/%s_prefixed_test' % test, 'pagemap'], share,
                        SHORT_US))
    for test in ['crew', 'crew_late']:
        jobs.append(Job(test, ['tests/unit/%s_test' % test], 4, SHORT_US))
    return jobs


# ---- One run ----------------------------------------------------------------------


def bits_set(data):
    for match in re.finditer(rb'[^\0]+', data):
        for at, byte in enumerate(match.group(), match.start()):
            for bit in range(8):
                if byte >> bit & 1:
                    yield at * 8 + bit


def read_log(path):
    """Sites seen, and those that slept: (module, number)."""
    seen, slept = [], []
    with open(path, 'rb') as log:
        for _ in range(MODULES):
            head = log.read(4 + NAME_BYTES)
            if len(head) < 4 + NAME_BYTES or head[:4] == b'\0\0\0\0':
                break
            name = head[4:].split(b'\0')[0].decode()
            for out in seen, slept:
                out += [(name, i) for i in bits_set(log.read(BITMAP))]
    return seen, slept


class Run:
    """What came of one: bad is a list of lines, empty if it was fine."""

    def __init__(self, build, job, sites=None, seed=0, log=False, stops=0):
        self.stops = stops
        self.bad, self.seen, self.slept = [], [], []
        env = dict(os.environ, CARDMARK_BUILDDIR=build, CARDMARK_TEST_SEED=str(1 + seed),
                   CARDMARK_TEST_SECONDS='1', CARDMARK_TEST_SMALL='1')
        for name in list(env):
            if name.startswith('PERTURB_'):
                del env[name]
        with tempfile.TemporaryDirectory() as directory:
            if sites is not None:
                write_sites(directory + '/sites', sites)
                env.update(PERTURB_SITES=directory + '/sites', PERTURB_SEED=str(seed), PERTURB_MOST_US=str(job.most_us))
            if sites is not None or log:
                env['PERTURB_LOG'] = directory + '/log'
            self.run(build, job, env, directory)
            if os.path.exists(directory + '/log'):
                self.seen, self.slept = read_log(directory + '/log')

    def run(self, build, job, env, directory):
        begun = time.monotonic()
        argv = [os.path.join(build, job.argv[0])] + job.argv[1:]
        with open(directory + '/output', 'w+', errors='replace') as out:
            p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, cwd=directory, start_new_session=True)
            self.stand_still(p)
            try:
                status = p.wait(HANGS)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(p.pid, signal.SIGKILL)  # also children that hang
            except ProcessLookupError:
                pass
            p.wait()
            out.seek(0)
            lines = out.read().splitlines()
        self.seconds = time.monotonic() - begun
        self.skipped = status == 77 or not any(line.startswith(('ok', '[  PASSED')) and '# SKIP' not in line for line in lines)
        if status is None:
            self.bad.append('hangs: no end in %d seconds' % HANGS)
        elif status not in (0, 77):
            self.bad.append('killed by signal %d' % -status if status < 0 else 'ends with status %d' % status)
        if self.bad:
            told = r'^not ok|^# .*(LOST|lost|hangs|crashed|failed: )|^\[  FAILED'
            self.bad = [line for line in lines if re.search(told, line)][:8] + self.bad

    def stand_still(self, process):
        """As under SIGSTOP, in a frozen container, on a machine that is moved: no thread has time, and the clock goes
        on."""
        for _ in range(self.stops):
            time.sleep(random.uniform(0.05, 0.6))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(STILL)
            os.killpg(process.pid, signal.SIGCONT)


def write_sites(path, sites):
    with open(path, 'w') as out:
        for name, i in sites:
            out.write('%s %d\n' % (name, i))


def find_module(build, name):
    for pattern in ['tests/*/%s', 'tests/*/.libs/%s', 'lib/.libs/%s', 'gc-glue/*/.libs/%s']:
        for path in glob.glob(os.path.join(build, pattern % name)):
            return path
    return None


def name_of(build, site):
    module, i = site
    path = find_module(build, module)
    text = subprocess.run(['addr2line', '-fie', path, '%x' % (i // 2 - 1)], stdout=subprocess.PIPE,
                          universal_newlines=True, check=False).stdout.split('\n') if path else ['?', '?']
    where = re.sub(r'^.*?/?((lib|gc-glue|tests)/)', r'\1', re.sub(r' \(.*', '', text[1]))
    return '%s %s in %s%s' % ('after' if i % 2 else 'at', where, text[0], ' (%s)' % text[2] if len(text) > 3 and text[2] else '')


# ---- Sweeps ------------------------------------------------------------------------


def groups_of(sites, n, seed):
    """Every site is in exactly one of them."""
    dealt = sorted(sites)
    random.Random(seed).shuffle(dealt)
    n = max(1, min(n, len(dealt)))
    return [sorted(dealt[i::n]) for i in range(n)]


class Machine:
    def __init__(self, build, options):
        self.build, self.options = build, options
        self.lock = threading.Lock()

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def each(self, call, items):
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            return list(pool.map(call, items))

    def census(self, jobs):
        """As they are, and to see what they pass. Returns the jobs that work here."""
        def look(job):
            plain = Run(self.build, job)
            if plain.bad:
                job.failure = (None, plain)
                return
            if plain.skipped:
                return
            logged = Run(self.build, job, log=True)
            if logged.bad:
                job.failure = (None, logged)
            job.sites, job.took = logged.seen, logged.seconds
        self.each(look, jobs)
        for job in jobs:
            if job.failure:
                self.say('FAIL %s, without delays:\n    %s' % (job.name, '\n    '.join(job.failure[1].bad)))
            elif not job.sites:
                self.say('SKIP %s: not for this kernel' % job.name)
        return [job for job in jobs if job.sites and not job.failure]

    def stand_still(self, jobs):
        """Each without delays, stopped as a whole a few times. They sleep, so many run at a time."""
        def look(job):
            run = Run(self.build, Job(job.name, [a.replace('--seconds=1', '--seconds=9') for a in job.argv], 0, 0), stops=4)
            if run.bad:
                job.failure = (None, run)
        with concurrent.futures.ThreadPoolExecutor(4 * self.options.jobs) as pool:
            list(pool.map(look, jobs))
        for job in jobs:
            if job.failure:
                self.say('FAIL %s, stopped as a whole for %.1f s:\n    %s' % (job.name, STILL, '\n    '.join(job.failure[1].bad)))

    def sweep(self, jobs, seed, until=None):
        """Stops at a job's first failure. until: a time at which nothing new is begun."""
        turns = []
        for job in jobs:
            groups = groups_of(job.sites, max(1, job.share * (300 if self.options.soak else self.options.seconds) // 300), seed)
            turns += [(i / len(groups), job, i, group) for i, group in enumerate(groups)]
        turns.sort(key=lambda turn: turn[0])

        def take(turn):
            _, job, i, group = turn
            if job.failure or (until is not None and time.monotonic() >= until):
                return 0
            run = Run(self.build, job, group, seed * 1000 + i)
            with self.lock:
                first = bool(run.bad) and not job.failure
                if first:
                    job.failure = ((seed, i, run.slept), run)
            if first:
                self.say('failed: %s, seed %d, group %d: %s' % (job.name, seed, i, run.bad[0]))
            return 1
        return sum(self.each(take, turns)), len(turns)

    def fails(self, job, sites, seed, tries):
        """The first of some runs that fails, with these sites and other visits."""
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            runs = [pool.submit(Run, self.build, job, sites, seed + 77 * n) for n in range(tries)]
            for done in concurrent.futures.as_completed(runs):
                if done.result().bad:
                    for other in runs:
                        other.cancel()
                    return done.result()
        return None

    def reduce(self, job, until):
        """Delta debugging: leaves out a half, a quarter, ... as long as it still fails."""
        seed, i, sites = job.failure[0]
        seed = seed * 1000 + i
        tries = 5 * self.options.tries
        again = self.fails(job, sites, seed, tries)
        if again is None:
            return sites, 'did not fail again in %d runs: all sites that slept' % tries
        sites, parts = again.slept, 2
        while len(sites) > 1 and time.monotonic() < until:
            size = (len(sites) + parts - 1) // parts
            for at in range(0, len(sites), size):
                rest = sites[:at] + sites[at + size:]
                again = self.fails(job, rest, seed, self.options.tries) if rest else None
                if again is not None:
                    sites, parts = again.slept or rest, max(parts - 1, 2)
                    break
                if time.monotonic() >= until:
                    break
            else:
                if size == 1:
                    return sites, 'these are needed'
                parts = min(parts * 2, len(sites))
        return sites, 'these are enough' if len(sites) == 1 else 'these are enough, perhaps fewer are'

    def show(self, job, until):
        (seed, i, _), run = job.failure
        keep = os.path.join(self.build, 'perturb-%s.sites' % re.sub(r'\W+', '-', job.name))
        self.say('FAIL %s, seed %d, group %d:\n    %s' % (job.name, seed, i, '\n    '.join(run.bad)))
        sites, how = self.reduce(job, until)
        write_sites(keep, sites)
        self.say('    delayed at, %s:' % how)
        for site in sites[:24]:
            self.say('        ' + name_of(self.build, site))
        if len(sites) > 24:
            self.say('        and %d more' % (len(sites) - 24))
        self.say('    again: PERTURB_SITES=%s PERTURB_MOST_US=%d PERTURB_SEED=%d %s' % (
            keep, job.most_us, seed * 1000 + i,
            ' '.join("'%s'" % word if ' ' in word else word for word in job.argv)))


def build_them(build, jobs):
    targets = sorted({job.argv[0] for job in jobs})
    done = subprocess.run(['make', '-s', '-C', build, '-j%d' % (os.cpu_count() or 1)] + targets, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    if done.returncode != 0:
        print(done.stdout)
    return done.returncode == 0


def sweep_all(machine, jobs):
    options, begun = machine.options, time.monotonic()
    print('perturb: seed %d, %d tests, %d at a time' % (options.seed, len(jobs), options.jobs), flush=True)
    if not build_them(machine.build, jobs):
        return 1
    able = machine.census(jobs)
    machine.stand_still(able)
    able = [job for job in able if not job.failure]
    machine.say('perturb: %d tests went on after they stood still, %d s' % (len(able), time.monotonic() - begun))
    sweeps, end = 0, begun + options.seconds
    while able and (sweeps < options.sweeps or (options.soak and time.monotonic() < end)):
        runs, turns = machine.sweep([job for job in able if not job.failure], options.seed + sweeps)
        sweeps += 1
        machine.say('perturb: sweep with seed %d: %d of %d groups, %d s' % (
            options.seed + sweeps - 1, runs, turns, time.monotonic() - begun))
    for job in able:
        if not job.failure:
            machine.say('ok   %s: each of %d sites had its turn (%.1f s a run)' % (job.name, len(job.sites), job.took))
    for job in able:
        if job.failure:
            machine.show(job, time.monotonic() + options.reduce)
    failed = sum(1 for job in jobs if job.failure)
    passed = sum(1 for job in able if not job.failure)
    print('perturb: seed %d, %d sweeps' % (options.seed, sweeps))
    print('perturb: %d passed, %d failed, %d skipped' % (passed, failed, len(jobs) - passed - failed))
    return 1 if failed or not able else 0


# ---- Mutants -------------------------------------------------------------------------


def patch(directory, path, *flags):
    return subprocess.run(['patch', '-p1', '-s', '-F0', '-d', directory, '-i', path] + list(flags), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, check=False)


def copy_of(sources, directory):
    """The sources without what was built in them, and a build of their own."""
    kept = os.path.join(directory, 'src')
    shutil.rmtree(directory, ignore_errors=True)
    names = subprocess.run(['git', '-C', sources, 'ls-files', '-z'], stdout=subprocess.PIPE, check=True).stdout
    for name in [n for n in names.decode().split('\0') if n] + ['configure', 'config.h.in', 'Makefile.in', 'aclocal.m4']:
        if os.path.isfile(os.path.join(sources, name)):
            os.makedirs(os.path.dirname(os.path.join(kept, name)), exist_ok=True)
            shutil.copy2(os.path.join(sources, name), os.path.join(kept, name))
    for name in 'build-aux', 'm4':
        shutil.copytree(os.path.join(sources, name), os.path.join(kept, name), dirs_exist_ok=True)
    build = os.path.join(directory, 'build')
    os.makedirs(build)
    subprocess.run([os.path.join(kept, 'configure'), '-q', '--enable-perturb', 'CFLAGS=-O1 -g'], cwd=build, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return kept, build


def find_mutant(path, kept, build, options, jobs):
    """None if it is found, or what is wrong."""
    name = os.path.splitext(os.path.basename(path))[0]
    with open(path) as text:
        wanted = re.search(r'^Found by: (.*)$', text.read(), re.M).group(1).split(', ')
    jobs = [job for job in jobs if job.name in wanted]
    if len(jobs) != len(wanted):
        return '%s: "Found by:" names no test' % name
    applied = patch(kept, path)
    if applied.returncode != 0:
        return '%s does not apply any more:\n%s' % (name, applied.stdout)
    try:
        if not build_them(build, jobs):
            return '%s does not compile' % name
        machine = Machine(build, options)
        begun = time.monotonic()
        runs, seed = 0, options.seed
        able = machine.census(jobs)
        while able and not any(job.failure for job in jobs):
            most = MUTANT_SECONDS * (4 if runs < MUTANT_RUNS else 1)
            if time.monotonic() >= begun + most:
                break
            runs += machine.sweep(able, seed, begun + most)[0]
            seed += 1
        took = time.monotonic() - begun
        found = [job for job in jobs if job.failure]
        if not found:
            return '%s: not found in %d s, %d runs' % (name, took, runs)
        machine.say('found %s in %d s, %d runs' % (name, took, runs))
        for job in found[:1]:
            if job.failure[0] is not None:
                machine.show(job, time.monotonic() + options.reduce)
        return None
    finally:
        patch(kept, path, '-R')


def mutants(options, jobs):
    directory = os.path.join(options.build, 'mutants')
    sources = os.path.abspath(options.mutants)
    kept, build = copy_of(sources, directory)
    wrong, n = [], 0
    for path in sorted(glob.glob(os.path.join(sources, 'tests/perturb/mutants/*.patch'))):
        if re.search(options.only, os.path.basename(path)):
            n += 1
            for job in jobs:
                job.failure, job.sites = None, []
            text = find_mutant(path, kept, build, options, jobs)
            if text is not None:
                wrong.append(text)
                print('FAIL ' + text, flush=True)
    print('perturb: %d mutants must be found\nperturb: %d passed, %d failed, 0 skipped' % (n, n - len(wrong), len(wrong)))
    return 1 if wrong or n == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--seed', default='clock', help='how the sites are dealt (the clock)')
    parser.add_argument('--seconds', type=int, default=300, help='about so long on two processors: makes the groups smaller (300)')
    parser.add_argument('--sweeps', type=int, default=1)
    parser.add_argument('--soak', action='store_true', help='sweeps with other seeds until the seconds are over')
    parser.add_argument('--only', default='', help='tests, or mutants, whose names match')
    parser.add_argument('--jobs', type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument('--tries', type=int, default=8, help='runs to see whether fewer sites still fail')
    parser.add_argument('--reduce', type=int, default=60, help='seconds for that')
    parser.add_argument('--mutants', metavar='SOURCES')
    parser.add_argument('--list', action='store_true')
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.seed = int(time.time()) % 1000000 if options.seed == 'clock' else int(options.seed)
    jobs = all_jobs()
    if options.list:
        print('\n'.join(job.name for job in jobs))
        return 0
    if options.mutants:
        return mutants(options, jobs)
    jobs = [job for job in jobs if re.search(options.only, job.name)]
    machine = Machine(options.build, options)
    return sweep_all(machine, jobs)


if __name__ == '__main__':
    sys.exit(main())
