"""Short stories and reviews for pre-training.

A story keeps a small cast, tells events, and comes back to them: in other words, more generally, by
what follows, by what people rightly or wrongly say about them. A review holds one opinion of one
work. So what a tiny model can learn here (synonyms, kinds, opposites, who did what to whom, which
words praise) is what the tasks need, without any task's sentence in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from bertstudy.errors import BertstudyError
from bertstudy.synthetic import lexicon, opinions, world
from bertstudy.synthetic.grammar import (
    Builder,
    Node,
    Sentence,
    Style,
    assemble,
    draw_style,
    realise,
    stop,
)
from bertstudy.synthetic.meaning import (
    Answer,
    Attitude,
    Compound,
    Event,
    Meaning,
    Question,
    State,
    Thing,
)
from bertstudy.synthetic.questions import ask, askable

SPLITS = ("train", "validation")
_TRIES = 8  # surfaces drawn before a sentence of the wrong split is given up


def documents(split: str, n_sentences: int, seed: int = 0) -> Iterator[list[str]]:
    """Stories and reviews, each a list of sentences in order.

    Args:
        split: ``train`` or ``validation``; no sentence is in both, nor in a task's other split.
        n_sentences: stop after the document that reaches this many sentences.
        seed: which documents. The same three arguments always give the same documents.

    Raises:
        BertstudyError: an unknown split.
    """
    yield from ([s.text for s in d] for d in annotated_documents(split, n_sentences, seed))


def annotated_documents(split: str, n_sentences: int, seed: int = 0) -> Iterator[list[Sentence]]:
    """As `documents`, with the annotation of each sentence."""
    if split not in SPLITS:
        raise BertstudyError(f"no split {split!r} of documents; allowed: {', '.join(SPLITS)}")
    rng, made = random.Random(f"documents {split} {seed}"), 0
    while made < n_sentences:
        document = (_review if rng.random() < 0.22 else _story)(Teller(split, rng))
        made += len(document)
        yield document


class Teller:
    """Collects the sentences of one document, all on one side of the split."""

    def __init__(self, split: str, rng: random.Random):
        self.split, self.rng = split, rng
        self.sentences: list[Sentence] = []
        self.cast: world.Cast | None = None

    def tell(self, make: Callable[[], Sentence | None]) -> bool:
        """Add the first sentence that ``make`` draws on our side; False if a few tries fail."""
        said = {s.text for s in self.sentences}
        for _ in range(_TRIES):
            sentence = make()
            if sentence is None:
                return False
            if world.side(sentence.text) == self.split and sentence.text not in said:
                self.sentences.append(sentence)
                return True
        return False

    def say(self, meaning: Meaning, lead: str = "") -> bool:
        """Tell a meaning in some words, perhaps after "In other words," or the like."""
        return self.tell(lambda: _with_lead(meaning, self.rng, lead))


def _with_lead(meaning: Meaning, rng: random.Random, lead: str) -> Sentence:
    event = meaning.event if isinstance(meaning, Question) else meaning
    style = draw_style(event, rng, 0.45) if isinstance(event, Event) else None
    is_plain = isinstance(meaning, Event) and not lead and not meaning.mode
    if is_plain and meaning.agent.noun != "someone" and rng.random() < 0.06:
        style = Style("cleft")
    root = Builder(rng, style).clause(meaning)
    if lead:
        root.before[:0] = _lead(lead)
    root.after.append(stop(meaning))
    return assemble(root, meaning)


def _lead(lead: str) -> list[tuple[str, Node]]:
    """ "so" and "then" stand alone; "yes", "no" and a longer lead end in a comma."""
    if lead in ("yes", "no"):
        return [("discourse", Node(lead, "INTJ")), ("punct", Node(",", "PUNCT"))]
    *before, head = lead.split()
    node = Node(head, "ADV" if not before else "NOUN")
    node.before = [("case" if i == 0 else "amod", Node(w, "ADP" if i == 0 else "ADJ"))
                   for i, w in enumerate(before)]  # fmt: skip
    if not before:
        return [("advmod", node)]
    return [("obl", node), ("punct", Node(",", "PUNCT"))]


# --------------------------------------------------------------------------------------------
# Stories
# --------------------------------------------------------------------------------------------


def _story(teller: Teller) -> list[Sentence]:
    rng = teller.rng
    cast = world.draw_cast(rng, rng.choice(tuple(lexicon.TOPICS)), names=0.2)
    # The same people are meant throughout, so a story calls them "the", and has no "ten nurses".
    teller.cast = replace(cast, people=tuple(_definite(p) for p in cast.people))
    if rng.random() < 0.5:
        _introduce(teller)
    length = rng.randint(6, 11)
    for _ in range(length):  # each turn tells at least something, unless the split forbids it
        if len(teller.sentences) >= length:
            break
        _episode(teller)
    return teller.sentences or _story(teller)


def _definite(thing: Thing) -> Thing:
    return replace(thing, determiner="the", adjective="") if thing.determiner else thing


def _introduce(teller: Teller) -> None:
    person = teller.rng.choice(teller.cast.people)
    if person.determiner:
        quality = teller.rng.choice(lexicon.adjectives_of(person.noun)).key
        teller.say(State(person, quality))
    else:
        role = teller.rng.choice([n for n in lexicon.hyponyms("person") if _agrees(n, person.noun)])
        teller.say(State(person, Thing(role, "a")))


def _agrees(noun: str, name: str) -> bool:
    return noun != "person" and lexicon.gender(noun) in ("", lexicon.gender(name))


def _episode(teller: Teller) -> None:
    rng = teller.rng
    event = world.draw_event(rng, teller.cast)
    if rng.random() < 0.12 and world.is_act(event):
        return _plan(teller, event)
    if rng.random() < 0.1:
        return _two_events(teller, event)
    if teller.say(event):
        for _ in range(1 + (rng.random() < 0.6)):
            rng.choices(*_FOLLOW_UPS)[0](teller, event)
    return None


def _again(teller: Teller, event: Event) -> None:
    lead = teller.rng.choice(("", "", "in other words", "in short", "so"))
    teller.say(event, lead)


def _general(teller: Teller, event: Event) -> None:
    weaker = world.weaken(event, teller.rng)
    if weaker is not None:
        teller.say(weaker, teller.rng.choice(("", "", "so", "in short")))


def _outcome(teller: Teller, event: Event) -> None:
    after = world.outcome(event, teller.rng)
    if after is not None:
        teller.say(after, teller.rng.choice(("so", "then", "now", "")))
    else:
        _reaction(teller, event)


def _reaction(teller: Teller, event: Event) -> None:
    """Kindness pleases and unkindness does not."""
    whom, rng = event.theme, teller.rng
    if event.verb in world.KINDLY:
        teller.say(State(_pronoun_or(whom, rng), "happy"), "so")
    elif event.verb in world.UNKINDLY:
        teller.say(State(_pronoun_or(whom, rng), rng.choice(("angry", "sad"))), "so")
    else:
        _goes_on(teller, event)


def _pronoun_or(thing: Thing, rng: random.Random) -> Thing:
    return thing if rng.random() < 0.7 else Thing(_pronoun(thing), "")


def _pronoun(thing: Thing) -> str:
    if thing.plural:
        return "they"
    if thing.noun in lexicon.NOUNS and not lexicon.is_kind(thing.noun, "person"):
        return "it"
    known = lexicon.gender(thing.noun)
    # Not known from the word: fixed by the noun's letters, so that a story is of one mind.
    return {"m": "he", "f": "she", "": ("he", "she")[len(thing.noun) % 2]}[known]


def _goes_on(teller: Teller, event: Event) -> None:
    pronoun = Thing(_pronoun(event.agent), "")
    following = world.draw_event(teller.rng, teller.cast, agent=event.agent)
    if event.agent not in (following.theme, following.recipient):
        told = replace(following, agent=pronoun)
        teller.tell(lambda: realise(told, teller.rng, Style(double=teller.rng.random() < 0.5)))


def _denial(teller: Teller, event: Event) -> None:
    wrong = world.alter(event, teller.rng)
    if wrong is not None:
        teller.say(replace(wrong, negated=True, manner=""))


def _gossip(teller: Teller, event: Event) -> None:
    """Somebody speaks of the event and is right, or wrong."""
    rng = teller.rng
    is_true = rng.random() < 0.5
    claim = _true_claim(event, rng) if is_true else _false_claim(event, rng)
    speaker = Thing(rng.choice(tuple(lexicon.NAMES)), "")
    if claim is None or speaker in (event.agent, event.theme, claim.agent, claim.theme,
                                    event.recipient, claim.recipient):  # fmt: skip
        return
    verb = rng.choice(("say", "say", "claim", "think"))
    if not teller.say(Attitude(speaker, verb, claim)):
        return
    words = ("right", "correct") if is_true else ("wrong", "mistaken")
    who = rng.choice((speaker, Thing(_pronoun(speaker), "")))
    verdict = ("true", "accurate") if is_true else ("false", "untrue")
    options = [State(who, w) for w in words] + [State(Thing("that", ""), v) for v in verdict]
    teller.tell(lambda: realise(rng.choice(options), rng, None))


def _true_claim(event: Event, rng: random.Random) -> Event:
    weaker = world.weaken(event, rng) if rng.random() < 0.5 else None
    return weaker or event


def _false_claim(event: Event, rng: random.Random) -> Event | None:
    kind = rng.random()
    if kind < 0.2:
        return world.negate(event, rng)
    return world.swap_roles(event, rng) if kind < 0.45 else world.alter(event, rng)


def _definition(teller: Teller, event: Event) -> None:
    """A poodle is a dog. To rescue is to help."""
    rng = teller.rng
    nouns = [t.noun for t in (event.agent, event.theme, event.recipient)
             if t is not None and world.parent(t.noun)]  # fmt: skip
    if not nouns:
        return
    noun = rng.choice(nouns)
    kind = rng.choice(sorted(lexicon.NOUNS[noun].kinds & set(lexicon.NOUNS) - {noun}))
    others = lexicon.sisters(kind) or lexicon.sisters(noun)
    is_true = rng.random() < 0.75 or not others
    predicate = kind if is_true else rng.choice(others)
    quality = Thing(predicate, "" if predicate in lexicon.MASS else "a")
    subject = Thing(noun, rng.choice(("a", "every")))
    teller.say(State(subject, quality, not is_true, True), rng.choice(("", "of course")))


def _asked(teller: Teller, event: Event) -> None:
    """Somebody asks about the event, and is answered in a phrase or in a sentence."""
    rng = teller.rng
    if rng.random() < 0.25:
        return _whether(teller, event)
    role = rng.choice(askable(event))
    claim = world.weaken(event, rng) if rng.random() < 0.4 else None
    question = ask(event, role, rng, claim)
    phrase = Answer(event, role, question.counts)
    options = [(event, "")] if rng.random() < 0.35 else [(phrase, ""), (event, "")]
    return _exchange(teller, question, options)


def _whether(teller: Teller, event: Event) -> None:
    rng, plain = teller.rng, replace(event, manner="")
    is_true = rng.random() < 0.5
    edits = (world.WEAKEN if rng.random() < 0.5 else ()) if is_true else (
        *world.ALTER, world.swap_roles, world.swap_roles)  # fmt: skip
    claim = world.apply_one(edits, plain, rng) or (plain if is_true else None)
    if claim is not None:
        reply = [(event, "yes" if is_true else "no")]
        _exchange(teller, Question(claim), reply)


def _exchange(teller: Teller, question: Question, replies: list[tuple[Meaning, str]]) -> None:
    """A question and the first reply, with its lead, that the split allows; both or neither."""
    if teller.say(question) and not any(teller.say(*reply) for reply in replies):
        teller.sentences.pop()


_FOLLOW_UPS: tuple[list[Callable[[Teller, Event], None]], list[float]] = (
    [_again, _general, _outcome, _goes_on, _denial, _gossip, _definition, _asked],
    [0.27, 0.18, 0.10, 0.10, 0.08, 0.22, 0.05, 0.136],  # relative: questions are 12 % of all
)


def _plan(teller: Teller, event: Event) -> None:
    """Somebody managed to, failed to, tried to ...: and did, or did not, or who knows."""
    rng = teller.rng
    plan = rng.choice(world.PLANS)
    if not teller.say(replace(event, mode=plan.key)):
        return
    if plan.holds == "unknown":
        teller.say(replace(event, mode=rng.choice(("manage", "fail"))))
    else:
        teller.say(replace(event, negated=plan.holds == "no"))


def _two_events(teller: Teller, event: Event) -> None:
    rng = teller.rng
    second = world.draw_event(rng, teller.cast, details=0.1)
    plain = replace(event, time="", place="", manner="")
    connective = rng.choice(lexicon.CONNECTIVES[:6])
    if second.verb != event.verb and teller.say(Compound(connective, plain, second)):
        teller.say(rng.choice((plain, second)))


# --------------------------------------------------------------------------------------------
# Reviews
# --------------------------------------------------------------------------------------------


def _review(teller: Teller) -> list[Sentence]:
    """One work, one verdict, some sentences, and what came of it."""
    rng = teller.rng
    verdict = rng.choice((1, -1))
    targets = opinions.targets(rng)
    watcher = Thing(rng.choice(tuple(lexicon.NAMES)), "")
    if rng.random() < 0.6:
        time = rng.choice(("", *lexicon.TIMES))
        teller.say(Event("see", watcher, replace(targets[0], determiner="a"), time=time))
    for _ in range(rng.randint(3, 5)):
        target = targets[0] if rng.random() < 0.5 else rng.choice(targets)
        opinion = opinions.draw(target, verdict, rng, opinions.WORDS, turned=0.2, conceding=0.12)
        teller.say(opinion)
        if rng.random() < 0.4:
            lead = rng.choice(("", "in short", "in other words"))
            teller.say(opinions.restate(opinion, rng), lead)
    if rng.random() < 0.6:
        pleased = ("happy", "amused") if verdict > 0 else ("sad", "angry")
        teller.say(State(watcher, rng.choice(pleased)), "so")
    return teller.sentences or _review(teller)
