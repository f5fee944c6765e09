"""From a meaning to English: a dependency grammar that remembers what it built.

A sentence is built as a tree of `Node`; reading the tree from left to right gives the words, and
the tree itself gives heads and relations (Universal Dependencies' labels, de Marneffe et al.,
2021), so the annotation cannot disagree with the text. One meaning has many surfaces: `realise`
draws one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from bertstudy.synthetic import lexicon
from bertstudy.synthetic.meaning import (
    ASKING,
    ROLES,
    Answer,
    Attitude,
    Compound,
    Event,
    Judged,
    Meaning,
    Opinion,
    Question,
    State,
    Thing,
)

NO_PASSIVE = frozenset({"have", "receive", "lose", "want"})
DOUBLE_OBJECT = frozenset({"sell", "lend", "give", "send", "show", "offer", "bring", "throw"})
_NEGATIONS = frozenset({"not", "n't", "no", "never", "nobody", "hardly", "scarcely"})


@dataclass(frozen=True)
class Word:
    """One word of a sentence. ``head`` is the index of its head, -1 at the root."""

    text: str
    lemma: str
    pos: str  # a Universal Dependencies part of speech
    head: int
    relation: str
    negates: bool  # is itself a negation: not, n't, no, never, hardly ...
    start: int  # characters of Sentence.text, end exclusive
    end: int


@dataclass(frozen=True)
class Frame:
    """A semantic frame evoked by the word at ``target``; spans of words, ends exclusive."""

    name: str
    target: int
    elements: tuple[tuple[str, int, int], ...]


@dataclass
class Node:
    """A word with its dependents left and right, in surface order."""

    text: str
    pos: str
    lemma: str = ""
    before: list[tuple[str, Node]] = field(default_factory=list)
    after: list[tuple[str, Node]] = field(default_factory=list)
    frame: str = ""
    roles: list[tuple[int, Node]] = field(default_factory=list)  # 0 agent, 1 theme, 2 recipient


Placed = tuple["Node", "Node | None", str]  # a node, its head and the relation between them


@dataclass(frozen=True)
class Sentence:
    """A surface with everything known about it; the annotation is worked out when asked for."""

    text: str
    meaning: Meaning
    order: tuple[Placed, ...] = field(repr=False, compare=False)  # the tree, left to right

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words with part of speech, head and relation."""
        words, end = [], 0
        for node, head, relation in self.order:
            start = end + len(_glue(node, end))
            end = start + len(node.text)
            lemma = node.lemma or (node.text if node.pos == "PROPN" else node.text.lower())
            words.append(Word(node.text, lemma, node.pos, self._index.get(id(head), -1), relation,
                              lemma in _NEGATIONS, start, end))  # fmt: skip
        return tuple(words)

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The frames of the sentence's verbs."""
        return tuple(self._frame(node) for node, _, _ in self.order if node.frame)

    @cached_property
    def _index(self) -> dict[int, int]:
        return {id(node): i for i, (node, _, _) in enumerate(self.order)}

    def _frame(self, node: Node) -> Frame:
        names, spans = lexicon.elements(node.frame), []
        for role, child in node.roles:
            places = [self._index[id(n)] for n, _, _ in _walk(child, None, "")]
            spans.append((names[role], min(places), max(places) + 1))
        return Frame(node.frame, self._index[id(node)], tuple(spans))


@dataclass(frozen=True)
class Style:
    """The free choices of a surface. Nothing here changes what is meant."""

    voice: str = "active"  # active, passive, converse (sell told as buy) or cleft
    front: str = ""  # "place" or "time" comes first; in a Compound, "clause"
    double: bool = False  # "gave the nurse a ring" rather than "gave a ring to the nurse"
    synonyms: float = 0.35  # how often a concept's other names are used


def voices(event: Event) -> tuple[str, ...]:
    """The voices an event can be told in, besides the cleft."""
    if event.mode or event.theme is None:
        return ("active",)
    passive = () if event.verb in NO_PASSIVE else ("passive",)
    return ("active", *passive, *(("converse",) if lexicon.VERBS[event.verb].conv else ()))


def draw_style(event: Event, rng: random.Random, synonyms: float = 0.35) -> Style:
    """A style fit for the event."""
    options = voices(event)
    voice = "active" if rng.random() < 0.45 else rng.choice(options)
    fronts = ["", "", *(f for f in ("place", "time") if getattr(event, f))]
    return Style(voice, rng.choice(fronts), rng.random() < 0.4, synonyms)


def realise(meaning: Meaning, rng: random.Random, style: Style | None = None) -> Sentence:
    """One surface of a meaning.

    Args:
        meaning: what to say.
        rng: decides whatever ``style`` leaves open, such as which synonym.
        style: the choices already made; drawn when absent.
    """
    root = Builder(rng, style).clause(meaning)
    root.after.append(stop(meaning))
    return assemble(root, meaning)


def stop(meaning: Meaning) -> tuple[str, Node]:
    """The mark that ends a sentence."""
    return "punct", Node("?" if isinstance(meaning, Question) else ".", "PUNCT")


class Builder:
    """Builds the tree of one sentence, drawing choices from ``rng``."""

    def __init__(self, rng: random.Random, style: Style | None = None):
        self.rng = rng
        self.style = style
        self.synonyms = style.synonyms if style else 0.35

    # ---- clauses -----------------------------------------------------------------------------

    def clause(self, meaning: Meaning) -> Node:
        """The tree of a meaning, without the mark at its end."""
        builders = {Event: self.event, State: self.state, Attitude: self.attitude,
                    Compound: self.compound, Opinion: self.opinion,
                    Question: self.question, Answer: self.answer}  # fmt: skip
        return builders[type(meaning)](meaning)

    def event(self, event: Event, subject: Node | None = None) -> Node:
        """A clause about an event; ``subject`` ("who") replaces the agent in a relative clause."""
        style = self.style or draw_style(event, self.rng)
        if subject is not None:
            style = Style(double=style.double)
        if style.voice == "cleft":
            return self._cleft(event)
        if style.voice == "active":
            head = self._active(event, style, subject)
        else:
            head = {"passive": self._passive, "converse": self._converse}[style.voice](event)
        self._adverbials(head, event, style)
        return head

    def _active(self, event: Event, style: Style, subject: Node | None) -> Node:
        agent = subject or self.noun(event.agent)
        verb = self.name(lexicon.VERBS[event.verb].names)
        if event.mode:
            head, top = self._planned(verb, event, agent)
        else:
            head = top = self._finite(verb, "VERB", event.negated)
        top.before.insert(0, ("nsubj", agent))
        head.frame, head.roles = lexicon.VERBS[event.verb].frame, [(0, agent)]
        self._objects(head, event, style)
        return top

    def _planned(self, verb: str, event: Event, agent: Node) -> tuple[Node, Node]:
        plan = lexicon.VERBS[event.mode]
        top = self._finite(self.name(plan.names), "VERB", event.negated)
        head = Node(verb, "VERB", verb, before=[("mark", Node("to", "PART"))])
        top.after.append(("xcomp", head))
        top.frame, top.roles = plan.frame, [(0, agent), (1, head)]
        return head, top

    def _objects(self, head: Node, event: Event, style: Style) -> None:
        if event.theme is None:
            return
        theme = self.noun(event.theme, "object")
        head.after.append(("obj", theme))
        head.roles.append((1, theme))
        if event.recipient is None:
            return
        if style.double and event.verb in DOUBLE_OBJECT:
            recipient = self.noun(event.recipient, "object")
            head.after.insert(0, ("iobj", recipient))
        else:
            recipient = self._oblique("to", event.recipient)
            head.after.append(("obl", recipient))
        head.roles.append((2, recipient))

    def _passive(self, event: Event) -> Node:
        theme = self.noun(event.theme)
        verb = lexicon.VERBS[event.verb]
        base = self.name(verb.names)
        auxiliary = "were" if event.theme.plural else "was"
        head = Node(lexicon.participle(base), "VERB", base, frame=verb.frame)
        head.before = [("nsubj:pass", theme), ("aux:pass", Node(auxiliary, "AUX", "be"))]
        head.before += self._negation(event.negated)
        head.roles = [(1, theme)]
        if event.recipient is not None:
            recipient = self._oblique("to", event.recipient)
            head.after.append(("obl", recipient))
            head.roles.append((2, recipient))
        agent = self._oblique("by", event.agent)
        head.after.append(("obl:agent", agent))
        head.roles.append((0, agent))
        return head

    def _converse(self, event: Event) -> Node:
        verb = lexicon.VERBS[lexicon.VERBS[event.verb].conv]
        recipient = self.noun(event.recipient)
        theme, agent = self.noun(event.theme, "object"), self._oblique("from", event.agent)
        head = self._finite(self.name(verb.names), "VERB", event.negated)
        head.before.insert(0, ("nsubj", recipient))
        head.after = [("obj", theme), ("obl", agent)]
        head.frame, head.roles = verb.frame, [(2, recipient), (1, theme), (0, agent)]
        return head

    def _cleft(self, event: Event) -> Node:
        head = self.noun(event.agent)
        subject = Node("who", "PRON") if event.agent.is_person else Node("that", "PRON")
        style, self.style = self.style, None
        clause = self.event(event, subject)
        self.style = style
        it_was = [("expl", Node("it", "PRON")), ("cop", Node("was", "AUX", "be"))]
        head.before = [*it_was, *head.before]
        head.after.append(("acl:relcl", clause))
        return head

    def _adverbials(self, head: Node, event: Event, style: Style) -> None:
        inner = dict(head.after).get("xcomp", head)  # "failed to sell it quickly in Rome"
        if event.manner:
            names = (event.manner, *lexicon.MANNERS[event.manner][0])
            inner.after.append(("advmod", Node(self.name(names), "ADV")))
        for kind, make in (("place", self.place), ("time", self.time)):
            value = getattr(event, kind)
            if value and style.front == kind:
                head.before[:0] = [("obl", make(value)), ("punct", Node(",", "PUNCT"))]
            elif value:
                inner.after.append(("obl", make(value)))

    def state(self, state: State) -> Node:
        """A copular clause."""
        present = {True: "are", False: "is"} if state.timeless else {True: "were", False: "was"}
        if isinstance(state.quality, Thing):
            head = self.noun(state.quality)
        else:
            head = Node(self.adjective(state.quality), "ADJ")
        head.before = [("nsubj", self.noun(state.subject)),
                       ("cop", Node(present[state.subject.plural], "AUX", "be")),
                       *self._negation(state.negated), *head.before]  # fmt: skip
        return head

    def attitude(self, attitude: Attitude) -> Node:
        """Somebody said, knew ... that ..."""
        verb = lexicon.VERBS[attitude.verb]
        holder, clause = self.noun(attitude.holder), self._unfronted(attitude.clause)
        if self.rng.random() < 0.7:
            clause.before.insert(0, ("mark", Node("that", "SCONJ")))
        head = self._finite(self.name(verb.names), "VERB", False)
        head.before.insert(0, ("nsubj", holder))
        head.after.append(("ccomp", clause))
        head.frame, head.roles = verb.frame, [(0, holder), (1, clause)]
        return head

    def _unfronted(self, clause: Event | State) -> Node:
        """A clause that starts with its subject, as one must after "said that"."""
        if isinstance(clause, State):
            return self.state(clause)
        outer = self.style
        self.style = replace(outer or draw_style(clause, self.rng, self.synonyms), front="")
        node = self.event(clause)
        self.style = outer
        return node

    def compound(self, compound: Compound) -> Node:
        """Two clauses; a subordinate one may come first."""
        is_front = (self.style and self.style.front == "clause") or (
            self.style is None and self.rng.random() < 0.35
        )
        style, self.style = self.style, Style(synonyms=self.synonyms)
        head, other = self.clause(compound.first), self.clause(compound.second)
        self.style = style
        if compound.connective in ("and", "or"):
            other.before.insert(0, ("cc", Node(compound.connective, "CCONJ")))
            head.after.append(("conj", other))
            return head
        other.before.insert(0, ("mark", Node(compound.connective, "SCONJ")))
        if is_front:
            head.before[:0] = [("advcl", other), ("punct", Node(",", "PUNCT"))]
        else:
            head.after.append(("advcl", other))
        return head

    # ---- questions ---------------------------------------------------------------------------

    def question(self, question: Question) -> Node:
        """A question: the clause that would answer it, what is asked for in front, inverted."""
        asked, event = question.asked, question.event
        style = replace(self.style or draw_style(event, self.rng), front="")
        if asked == "recipient":
            style = replace(style, double=False)  # "to whom", not "whom did he give a ring"
        is_setting = asked in ("place", "time")
        outer, self.style = self.style, style
        head = self.event(replace(event, **{asked: ""}) if is_setting else event)
        self.style = outer
        if is_setting:
            front = [("advmod", Node({"place": "where", "time": "when"}[asked], "ADV"))]
        else:
            front = self._fronted(head, asked)
        if front or not asked:
            _invert(head)
        head.before[:0] = front
        return head

    def _fronted(self, head: Node, asked: str) -> list[tuple[str, Node]]:
        """What is asked for, taken from behind the verb; nothing where it is the subject."""
        asked_node = dict(head.roles).get(ROLES.index(asked)) if asked else None
        front = [(relation, node) for relation, node in head.after if node is asked_node]
        head.after = [(relation, node) for relation, node in head.after if node is not asked_node]
        for relation, node in front:
            if relation == "obj" and node.lemma == "who" and self.rng.random() < 0.6:
                node.text = "who"
        return front

    def answer(self, answer: Answer) -> Node:
        """A phrase alone, "it was ..." or, of an agent, "... did"."""
        event, chance = answer.event, self.rng.random()
        if answer.counts:
            thing = getattr(event, answer.asked)
            return self.noun(thing) if chance < 0.5 else Node(thing.determiner, "NUM")
        if answer.asked in ("place", "time"):
            head = (self.place if answer.asked == "place" else self.time)(
                getattr(event, answer.asked)
            )
        elif answer.asked == "recipient" and chance < 0.5:
            return self._oblique("to", event.recipient)
        else:
            head = self.noun(getattr(event, answer.asked))
        if answer.asked == "agent" and chance < 0.3:
            return Node("did", "AUX", "do", before=[("nsubj", head)])
        if chance > 0.55:
            head.before[:0] = [("expl", Node("it", "PRON")), ("cop", Node("was", "AUX", "be"))]
        return head

    # ---- opinions ----------------------------------------------------------------------------

    def opinion(self, opinion: Opinion) -> Node:
        """A judgement, with what it concedes before it."""
        head = self.judged(opinion.main)
        if opinion.conceded is None:
            return head
        other = self.judged(opinion.conceded)
        if opinion.connective == "although":
            other.before.insert(0, ("mark", Node("although", "SCONJ")))
            head.before[:0] = [("advcl", other), ("punct", Node(",", "PUNCT"))]
            return head
        head.before[:0] = [("punct", Node(",", "PUNCT")), ("cc", Node("but", "CCONJ"))]
        other.after.append(("conj", head))
        return other

    def judged(self, judged: Judged) -> Node:
        """One clause of opinion."""
        return self._judging_verb(judged) if judged.pos == "VERB" else self._judging_copula(judged)

    def _judging_copula(self, judged: Judged) -> Node:
        head = Node(judged.words[0], judged.pos)
        for other in judged.words[1:]:
            other_node = Node(other, "ADJ", before=[("cc", Node("and", "CCONJ"))])
            head.after.append(("conj", other_node))
        if judged.pos == "NOUN":
            head.before = [("det", Node(lexicon.article(head.text), "DET", "a"))]
        elif self.rng.random() < 0.4 and judged.turned in ("", "not"):
            head.before = [("advmod", Node(self.rng.choice(lexicon.INTENSIFIERS), "ADV"))]
        copula = self.rng.choice(("is", "was"))
        head.before = [("nsubj", self.noun(judged.target)), ("cop", Node(copula, "AUX", "be")),
                       *self._turn(judged.turned), *head.before]  # fmt: skip
        return head

    def _turn(self, turned: str) -> list[tuple[str, Node]]:
        if turned == "far from":
            return [("advmod", Node("far", "ADV")), ("case", Node("from", "ADP"))]
        if turned == "anything but":
            return [("advmod", Node("anything", "PRON")), ("case", Node("but", "ADP"))]
        return [("advmod", Node(turned, "PART" if turned == "not" else "ADV"))] if turned else []

    def _judging_verb(self, judged: Judged) -> Node:
        verb, subject = judged.words[0], self.rng.choice(("I", "we", "they"))
        head = self._finite(verb, "VERB", judged.turned == "not")
        if judged.turned and judged.turned != "not":
            head.before.append(("advmod", Node(judged.turned, "ADV")))
        theme = self.noun(judged.target, "object")
        agent = Node(subject, "PRON", subject.lower())
        head.before.insert(0, ("nsubj", agent))
        head.after.append(("obj", theme))
        head.frame, head.roles = "Experiencer_focus", [(0, agent), (1, theme)]
        return head

    # ---- phrases -----------------------------------------------------------------------------

    def noun(self, thing: Thing, case: str = "subject") -> Node:
        """The noun phrase of a thing."""
        if thing.noun in lexicon.NAMES:
            return Node(thing.noun, "PROPN")
        if thing.noun in ASKING:
            return Node(ASKING[thing.noun] if case == "object" else thing.noun, "PRON", thing.noun)
        if thing.noun in lexicon.PRONOUNS:
            accusative = lexicon.PRONOUNS[thing.noun]
            return Node(accusative if case == "object" else thing.noun, "PRON", thing.noun)
        lemma = self.name(lexicon.NOUNS[thing.noun].names)
        head = Node(lexicon.plural(lemma) if thing.plural else lemma, "NOUN", lemma)
        if thing.adjective:
            head.before.append(("amod", Node(self.adjective(thing.adjective), "ADJ")))
        if thing.determiner:
            head.before.insert(0, self._determiner(thing, head))
        if thing.doing is not None:
            subject = Node("who" if thing.is_person else "that", "PRON")
            head.after.append(("acl:relcl", self.event(thing.doing, subject)))
        return head

    def _determiner(self, thing: Thing, head: Node) -> tuple[str, Node]:
        word = thing.determiner
        if thing.noun in lexicon.MASS and (word == "a" or word in lexicon.NUMBERS):
            word = "some"
        if word == "how many":
            return "amod", Node("many", "ADJ", before=[("advmod", Node("how", "ADV"))])
        if word in lexicon.NUMBERS:
            return "nummod", Node(word, "NUM")
        if word == "a":
            following = head.before[0][1].text if head.before else head.text
            return "det", Node(lexicon.article(following), "DET", "a")
        is_adjective = word in ("several", "many")
        return ("amod", Node(word, "ADJ")) if is_adjective else ("det", Node(word, "DET"))

    def _oblique(self, preposition: str, thing: Thing) -> Node:
        node = self.noun(thing, "object")
        node.before.insert(0, ("case", Node(preposition, "ADP")))
        return node

    def place(self, place: str) -> Node:
        """A place phrase: in the kitchen, at the museum, in Rome."""
        if place in lexicon.CITIES:
            return Node(place, "PROPN", before=[("case", Node("in", "ADP"))])
        name = self.name(lexicon.NOUNS[place].names)
        preposition = Node(lexicon.preposition(place), "ADP")
        return Node(name, "NOUN", before=[("case", preposition), ("det", Node("the", "DET"))])

    def time(self, time: str) -> Node:
        """A time phrase: on Monday, in the morning."""
        preposition, *article, noun = time.split()
        before = [("case", Node(preposition, "ADP")), *(("det", Node(a, "DET")) for a in article)]
        return Node(noun, "PROPN" if noun[0].isupper() else "NOUN", before=before)

    def adjective(self, key: str) -> str:
        """A name of an adjective concept."""
        return self.name(_ADJECTIVE_NAMES.get(key, (key,)))

    def name(self, names: tuple[str, ...]) -> str:
        """One of a concept's names; the first is the usual one."""
        if len(names) > 1 and self.rng.random() < self.synonyms:
            return names[1 + int(self.rng.random() * (len(names) - 1))]
        return names[0]

    # ---- verb groups -------------------------------------------------------------------------

    def _finite(self, verb: str, pos: str, negated: bool) -> Node:
        """A past tense verb, with "did not" before it where it is negated."""
        if not negated:
            return Node(lexicon.past(verb), pos, verb)
        auxiliary = Node("did", "AUX", "do")
        return Node(verb, pos, verb, before=[("aux", auxiliary), *self._negation(True)])

    def _negation(self, negated: bool) -> list[tuple[str, Node]]:
        if not negated:
            return []
        return [("advmod", Node("n't" if self.rng.random() < 0.2 else "not", "PART", "not"))]


def _invert(head: Node) -> None:
    """Put the auxiliary, or "did" where there is none, before the subject."""
    auxiliary = next((p for p in head.before if p[0] in ("aux", "aux:pass")), None)
    if auxiliary is None:
        auxiliary, head.text = ("aux", Node("did", "AUX", "do")), head.lemma
    head.before = [auxiliary, *(pair for pair in head.before if pair is not auxiliary)]


_ADJECTIVE_NAMES = {a.key: a.names for a in lexicon.ADJECTIVES}


# --------------------------------------------------------------------------------------------
# From a tree to an annotated sentence
# --------------------------------------------------------------------------------------------


def assemble(root: Node, meaning: Meaning) -> Sentence:
    """Read a tree from left to right. The first word gets its capital, in the tree too."""
    order = tuple(_walk(root, None, "root"))
    order[0][0].text = order[0][0].text[0].upper() + order[0][0].text[1:]
    text = ""
    for node, _, _ in order:
        text += _glue(node, len(text)) + node.text
    return Sentence(text, meaning, order)


def _glue(node: Node, end: int) -> str:
    """What stands between a word and what ends at character ``end`` before it."""
    return "" if end == 0 or node.text in (",", ".", "?", "n't") else " "


def _walk(node: Node, head: Node | None, relation: str) -> Iterator[Placed]:
    for rel, child in node.before:
        yield from _walk(child, node, rel)
    yield node, head, relation
    for rel, child in node.after:
        yield from _walk(child, node, rel)
