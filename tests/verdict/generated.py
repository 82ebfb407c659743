"""Programs made by chance, over a library of counted buffers, of which all is known: where each
reference is taken, where it is given back, and how often that is forgotten.

A program has paths, which requests take at random. A path makes a buffer (or takes one of a pool
that is kept to the end), uses it a few times, and gives its own reference back. A use takes one
reference, or some, and gives them back: inside a function, later in the path, after the path has
given back its own, through a list, in another thread, or when a later request pushes it out of a
ring. Each of these calls the library directly, or through helper functions that are shared by
everybody, or of their own, or both. Some uses and some paths forget, always or by chance; the
program counts what they forget and says so at its end.
"""
import dataclasses
import random

# Each function of its own, or all compiled into their callers: what is true of it stays the same.
APART = '__attribute__((noipa)) static'
INLINED = '__attribute__((always_inline)) static inline'
SHARED = """#include "counted.h"

#include <pthread.h>
#include <stdio.h>

static unsigned long state = %(seed)d;
static int every[COUNTED_BUGS] = {%(every)s};
static int buffers[COUNTED_BUGS];
static int references[COUNTED_BUGS];
static volatile int times[] = {0, 1, 2, 3}; /* no loop is unrolled */

/* Below n, by chance. Of the main thread. */
static int below(int n)
{
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return (int)((state >> 33) %% (unsigned long)n);
}

/* Is this reference forgotten? A bug is of one thread. */
static int forgets(int bug, struct counted *buffer)
{
    static unsigned turns[COUNTED_BUGS];
    if (every[bug] == 0 ||
        (every[bug] > 1 && (turns[bug]++ * 2654435761u >> 16) %% (unsigned)every[bug] != 0))
        return 0;
    buffers[bug] += buffer->lost[bug]++ == 0;
    references[bug]++;
    return 1;
}

static struct {
    struct counted *buffer;
    int use;
} queue[64];
static int queue_first, queue_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;

static void hand_over(struct counted *buffer, int use)
{
    pthread_mutex_lock(&lock);
    while (queue_count == 64)
        pthread_cond_wait(&moved, &lock);
    queue[(queue_first + queue_count) %% 64].buffer = buffer;
    queue[(queue_first + queue_count++) %% 64].use = use;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

static struct counted *take_over(int *use)
{
    pthread_mutex_lock(&lock);
    while (queue_count == 0)
        pthread_cond_wait(&moved, &lock);
    struct counted *buffer = queue[queue_first].buffer;
    *use = queue[queue_first].use;
    queue_first = (queue_first + 1) %% 64;
    queue_count--;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
    return buffer;
}
"""


@dataclasses.dataclass
class Use:
    """What takes references and gives them back; the birth of a path's buffer is one as well."""
    number: int
    kind: str
    taking: str  # style of the acquire
    giving: str  # style of the release
    chance: int = 100  # of a request, in percent
    times: int = 1
    every: int = 0  # forgets one in so many; 0: none
    taken: tuple = ()  # lines, innermost first
    given: list = dataclasses.field(default_factory=list)  # tuples of lines; () is in the library


@dataclasses.dataclass
class Path:
    number: int
    owner: Use
    uses: list
    pooled: bool = False


KINDS = ('scoped', 'scoped', 'later', 'later', 'after', 'list', 'thread', 'ring')
STYLES = ('direct', 'shared', 'own', 'both')


class Program:
    """One program: its text, and what is true of it."""

    def __init__(self, seed, bugs=None, is_inlined=False):
        self.seed = seed
        self.linkage = INLINED if is_inlined else APART
        self.chance = random.Random(seed)
        self.lines = []
        self.pool_line = 0
        self.helpers = {}
        self.uses = []
        self.paths = []
        self.requests = self.chance.choice((800, 1600))
        self.style = self.chance.choice(('direct', 'shared', 'shared', 'own', 'both', 'mixed'))
        self.plan(self.chance.choice((0, 1, 1, 1, 2)) if bugs is None else bugs)
        self.write()

    # ---- what the program does ----

    def pick_style(self):
        if self.style != 'mixed':
            return self.style
        return self.chance.choice(STYLES)

    def new_use(self, kind):
        use = Use(len(self.uses), kind, self.pick_style(), self.pick_style())
        if kind != 'owner' and self.chance.random() < 0.5:
            use.chance = self.chance.choice((20, 50, 80))
        if kind in ('scoped', 'later') and self.chance.random() < 0.3:
            use.times = self.chance.choice((2, 3))
        self.uses.append(use)
        return use

    def plan(self, bugs):
        for number in range(self.chance.choice((1, 1, 2, 3))):
            owner = self.new_use('owner')
            if self.chance.random() < 0.15:
                owner.kind = 'handed'
            uses = [self.new_use(self.chance.choice(KINDS))
                    for _ in range(self.chance.choice((0, 1, 1, 2, 2, 3)))]
            path = Path(number, owner, uses, pooled=self.chance.random() < 0.12)
            if path.pooled:
                owner.kind = 'owner'
            self.paths.append(path)
        can = [use for path in self.paths for use in [path.owner] + path.uses
               if not (path.pooled and use is path.owner)]
        for use in self.chance.sample(can, min(bugs, len(can))):
            use.every = self.chance.choice((1, 3, 10, 10))
            use.chance = max(use.chance, 50)

    # ---- its text ----

    def emit(self, text):
        self.lines.append(text)
        return len(self.lines)

    def helper(self, name, signature, body):
        """Line of the call inside a helper that is shared."""
        if name not in self.helpers:
            self.emit(f'{self.linkage} {signature}')
            self.emit('{')
            self.helpers[name] = self.emit(f'    {body}')
            self.emit('}')
            self.emit('')
        return self.helpers[name]

    def prepare(self, use):
        """Writes the functions a use needs; returns (call that takes, lines inside it) and the same
        of what gives back."""
        if use.kind in ('owner', 'handed'):
            take = self.prepare_one(use.taking, 'make', use.number, 'struct counted *', 'void',
                                    'return counted_new(64);', '')
        else:
            take = self.prepare_one(use.taking, 'keep', use.number, 'void ', 'struct counted *b',
                                    'counted_ref(b);', 'b')
        give = self.prepare_one(use.giving, 'drop', use.number, 'void ', 'struct counted *b',
                                'counted_unref(b);', 'b')
        return take, give

    def prepare_one(self, style, name, number, kind, arguments, body, argument):
        call = body.removeprefix('return ').rstrip(';')
        if style == 'direct':
            return call, ()
        lines = ()
        if style in ('shared', 'both'):
            lines = (self.helper(name, f'{kind}{name}({arguments})', body),)
            call = f'{name}({argument})'
        if style in ('own', 'both'):
            own = f'{name}_{number}'
            inner = f'return {call};' if kind != 'void ' else f'{call};'
            lines += (self.helper(own, f'{kind}{own}({arguments})', inner),)
            call = f'{own}({argument})'
        return call, lines

    def emit_take(self, use, indent, prefix=''):
        call, lines = use.take
        line = self.emit(f'{indent}{prefix}{call};')
        use.taken = lines + (line,)

    def emit_give(self, use, buffer, indent):
        call, lines = use.give
        call = call.replace('(b)', f'({buffer})')
        self.emit(f'{indent}if (!forgets({use.number}, {buffer}))')
        line = self.emit(f'{indent}    {call};')
        use.given.append(lines + (line,))

    def write_function(self, signature, body):
        self.emit(f'{self.linkage} {signature}')
        self.emit('{')
        body()
        self.emit('}')
        self.emit('')

    def write_scoped(self, use):
        def body():
            if use.times > 1:
                self.emit(f'    for (int i = 0; i < times[{use.times}]; i++) {{')
            self.emit_take(use, '        ')
            self.emit_give(use, 'b', '        ')
            if use.times > 1:
                self.emit('    }')
        self.write_function(f'void scoped_{use.number}(struct counted *b)', body)

    def write_ring(self, use):
        number = use.number
        size = self.chance.choice((3, 8))
        self.emit(f'static struct counted *ring_{number}[{size}];')
        self.emit(f'static int ring_{number}_next;')

        def push():
            self.emit(f'    struct counted *b = ring_{number}[ring_{number}_next];')
            self.emit(f'    ring_{number}[ring_{number}_next] = in;')
            self.emit(f'    ring_{number}_next = (ring_{number}_next + 1) % {size};')
            self.emit('    if (!b)')
            self.emit('        return;')
            self.emit_give(use, 'b', '    ')

        def drain():
            self.emit(f'    for (int i = 0; i < {size}; i++) {{')
            self.emit(f'        struct counted *b = ring_{number}[i];')
            self.emit('        if (!b)')
            self.emit('            continue;')
            self.emit_give(use, 'b', '        ')
            self.emit('    }')
        self.write_function(f'void push_{number}(struct counted *in)', push)
        self.write_function(f'void drain_{number}(void)', drain)

    def write_path(self, path):
        events = []
        uses = path.uses
        for use in uses:
            start = self.chance.random()
            if use.kind in ('later', 'list'):
                end = start + (1 - start) * self.chance.random()
                if use.kind == 'list' and self.chance.random() < 0.5:
                    end = 1 + self.chance.random()
                events += [(start, 'take', use), (end, 'give', use)]
            elif use.kind == 'after':
                events += [(start, 'take', use), (1 + self.chance.random(), 'give', use)]
            else:
                events.append((start, 'take', use))
        events.append((1, 'give', path.owner))
        events.sort(key=lambda event: event[0])

        def body():
            if path.pooled:
                self.emit('    struct counted *b = pool[below(POOL)];')
                self.pool_users.append(path)
            else:
                self.emit_take(path.owner, '    ', 'struct counted *b = ')
            for use in uses:
                if use.kind in ('later', 'after'):
                    self.emit(f'    int has_{use.number} = 0;')
                if use.kind == 'list':
                    self.emit(f'    struct counted_list *list_{use.number} = '
                              f'counted_list_new(!forgets_list({use.number}));')
            for _, what, use in events:
                if what == 'take':
                    self.write_taking(use)
                elif use is path.owner:
                    if path.pooled:
                        continue
                    if use.kind == 'handed':
                        self.emit(f'    hand_over(b, {use.number});')
                    else:
                        self.emit_give(use, 'b', '    ')
                elif use.kind == 'list':
                    line = self.emit(f'    counted_list_free(list_{use.number});')
                    use.given.append((line,))
                else:
                    self.emit(f'    for (int i = 0; i < has_{use.number}; i++)')
                    self.emit('    {')
                    self.emit_give(use, 'b', '        ')
                    self.emit('    }')
        self.write_function(f'void path_{path.number}(void)', body)

    def write_taking(self, use):
        self.emit(f'    if (below(100) < {use.chance}) {{')
        if use.kind == 'scoped':
            self.emit(f'        scoped_{use.number}(b);')
        elif use.times > 1:
            self.emit(f'        for (int i = 0; i < times[{use.times}]; i++)')
            self.emit_take(use, '            ')
        else:
            self.emit_take(use, '        ')
        if use.kind in ('later', 'after'):
            self.emit(f'        has_{use.number} = {use.times};')
        elif use.kind == 'list':
            self.emit(f'        counted_list_add(list_{use.number}, b);')
            self.emit(f'        count_list({use.number}, b);')
        elif use.kind == 'thread':
            self.emit(f'        hand_over(b, {use.number});')
        elif use.kind == 'ring':
            self.emit(f'        push_{use.number}(b);')
        self.emit('    }')

    def write_pool(self):
        self.emit('    for (int i = 0; i < POOL; i++)')
        self.pool_line = self.emit('        pool[i] = counted_new(32);')

    def write_consumer(self):
        handed = [use for use in self.uses if use.kind in ('thread', 'handed')]
        for use in handed:
            self.write_function(f'void consume_{use.number}(struct counted *b)',
                                lambda use=use: self.emit_give(use, 'b', '    '))
        self.emit('static void *consume(void *unused)')
        self.emit('{')
        self.emit('    int use;')
        self.emit('    for (struct counted *b; (b = take_over(&use));) {')
        for use in handed:
            self.emit(f'        if (use == {use.number})')
            self.emit(f'            consume_{use.number}(b);')
        self.emit('    }')
        self.emit('    return unused;')
        self.emit('}')
        self.emit('')

    def write(self):
        every = ', '.join(str(use.every) for use in self.uses)
        for line in (SHARED % {'seed': self.seed, 'every': every}).split('\n'):
            self.emit(line)
        # a list that does not own forgets all that is put into it
        self.emit('static int is_forgetful[COUNTED_BUGS];')
        self.emit('static int forgets_list(int bug)')
        self.emit('{')
        self.emit('    return is_forgetful[bug] = every[bug] > 0 && below(every[bug]) == 0;')
        self.emit('}')
        self.emit('static void count_list(int bug, struct counted *b)')
        self.emit('{')
        self.emit('    if (is_forgetful[bug]) {')
        self.emit('        buffers[bug] += b->lost[bug]++ == 0;')
        self.emit('        references[bug]++;')
        self.emit('    }')
        self.emit('}')
        self.emit('')
        self.pool_users = []
        self.emit('#define POOL 24')
        self.emit('static struct counted *pool[POOL];')
        self.write_function('void fill_pool(void)', self.write_pool)
        for use in self.uses:
            use.take, use.give = self.prepare(use)
        for use in self.uses:
            if use.kind == 'scoped':
                self.write_scoped(use)
            elif use.kind == 'ring':
                self.write_ring(use)
        for path in self.paths:
            self.write_path(path)
        self.write_consumer()
        self.emit('int main(void)')
        self.emit('{')
        self.emit('    pthread_t consumer;')
        self.emit('    pthread_create(&consumer, NULL, consume, NULL);')
        if self.pool_users:
            self.emit('    fill_pool();')
        else:
            self.emit('    (void)fill_pool;')
        self.emit(f'    for (int i = 0; i < {self.requests}; i++) {{')
        self.emit(f'        switch (below({len(self.paths)})) {{')
        for path in self.paths:
            self.emit(f'        case {path.number}: path_{path.number}(); break;')
        self.emit('        }')
        self.emit('    }')
        for use in self.uses:
            if use.kind == 'ring':
                self.emit(f'    drain_{use.number}();')
        self.emit('    hand_over(NULL, 0);')
        self.emit('    pthread_join(consumer, NULL);')
        self.emit('    for (int i = 0; i < COUNTED_BUGS; i++)')
        self.emit('        printf("%d %d\\n", buffers[i], references[i]);')
        self.emit('    return 0;')
        self.emit('}')

    def text(self):
        return '\n'.join(self.lines) + '\n'
