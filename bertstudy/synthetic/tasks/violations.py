"""How a sentence goes wrong: edits of a dependency tree that leave no grammatical sentence.

Each function below lists the *sites* of one kind of violation in a tree: calls without arguments,
each of which breaks the tree at one place. A tree without a site of a kind cannot be broken that
way. Sites where real English would still be fine ("Granny slept", "two fish were sold", "the child
ate") are left out, although the synthetic grammar has no such sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache, partial

from bertstudy.synthetic import lexicon
from bertstudy.synthetic.grammar import Node

Site = Callable[[], None]
Find = Callable[[Node, random.Random], Iterator[Site]]

# Verbs that real English too never leaves without an object, and never gives one.
_NEEDS_OBJECT = lexicon.words_of(
    "chase rescue praise commend criticize condemn thank blame accuse like adore love dislike "
    "detest hate respect admire despise scorn fear dread touch hug embrace hit injure wound harm "
    "defend protect hire employ defeat contact invite greet capture release free deceive amuse "
    "bore find discover damage destroy wreck repair fix construct make produce stain conceal carry "
    "haul lift raise lower take grab seize keep retain discard dump own possess have want desire "
    "devour ignore neglect wear"
)
_TAKES_NO_OBJECT = lexicon.words_of(
    "sleep slumber laugh chuckle weep smile grin frown scowl arrive come fall stumble wait linger "
    "complain grumble vanish disappear appear emerge limp wander stroll"
)
_NAMING = lexicon.words_of("make produce find keep construct")  # was made the mayor
# Not "sold a letter from the mayor" or "received a letter to the mayor", which are English.
_GOES_TO = lexicon.words_of("give hand")
_COMES_FROM = lexicon.words_of("buy purchase borrow")
_TAKES_CLAUSE = lexicon.words_of("find discover fear dread")  # found he slept
_SUBJECTS = ("nsubj", "nsubj:pass")
_OBJECTS = ("obj", "iobj", "obl", "obl:agent")
_ARTICLES = ("the", "a", "an")
_MARKERS = ("to", "by", "from")
_RELATIVES = ("who", "that")
_BASES = frozenset(n for v in lexicon.VERBS.values() for n in v.names)


def _nodes(root: Node) -> Iterator[tuple[Node, str]]:
    """Each node below and including ``root`` with its relation."""
    yield from _below(root, "root")


def _below(node: Node, relation: str) -> Iterator[tuple[Node, str]]:
    yield node, relation
    for rel, child in (*node.before, *node.after):
        yield from _below(child, rel)


def _dependent(node: Node, *relations: str) -> Node | None:
    return next((c for rel, c in (*node.before, *node.after) if rel in relations), None)


def _drop(root: Node, gone: Node) -> None:
    """Take a node out of the tree, and out of every frame."""
    for node, _ in _nodes(root):
        node.before = [(rel, c) for rel, c in node.before if c is not gone]
        node.after = [(rel, c) for rel, c in node.after if c is not gone]
        node.roles = [(role, c) for role, c in node.roles if c is not gone]


def _reword(node: Node, text: str) -> Site:
    return partial(setattr, node, "text", text)


def _is_plural(noun: Node) -> bool:
    """Whether a noun phrase asks for "were"."""
    return noun.lemma == "they" or (noun.pos == "NOUN" and noun.text != noun.lemma)


def _has_two_numbers(noun: Node) -> bool:
    """Whether the form shows singular or plural: nurse does, sheep and furniture do not."""
    is_counted = noun.pos == "NOUN" and noun.lemma not in lexicon.MASS
    return is_counted and lexicon.plural(noun.lemma) != noun.lemma


# ---- verbs ---------------------------------------------------------------------------------


def agreement(root: Node, rng: random.Random) -> Iterator[Site]:
    """Two nurses was hit. The nurse were tall."""
    for node, _ in _nodes(root):
        subject, verb = _dependent(node, *_SUBJECTS), _dependent(node, "cop", "aux:pass")
        # Singulars are commoner: only so many that "were" alone tells nothing.
        if verb is None or (verb.text == "was" and rng.random() > 0.2):
            continue
        if subject and (subject.pos != "NOUN" or _has_two_numbers(subject)):
            yield _reword(verb, {"was": "were", "were": "was"}[verb.text])


def verb_form(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse did not sold the car. The car was sell by the nurse. The nurse sell the car."""
    for node, _ in _nodes(root):
        if node.pos == "VERB":
            yield from (_reword(node, form) for form in sorted(_wrong_forms(node)))


def _wrong_forms(verb: Node) -> set[str]:
    base, past, participle = verb.lemma, lexicon.past(verb.lemma), lexicon.participle(verb.lemma)
    if _dependent(verb, "aux:pass"):
        return {base, past} - {participle}
    if _dependent(verb, "aux") or verb.text == base:  # after "did" and "to"
        return {past} - {base}
    subject = _dependent(verb, "nsubj")
    is_open = subject is None or _is_plural(subject) or subject.text in _RELATIVES
    return {participle, base} - {past} - ({base} if is_open else set())  # they sell: English


def infinitive(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse managed sell the car."""
    for node, _ in _nodes(root):
        for rel, child in node.before:
            is_noun_too = _dependent(node, "obj") is None  # did not forget work, planned dance
            if rel == "mark" and child.text == "to" and not is_noun_too:
                yield partial(_drop, root, child)


def verb_order(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse not did sell the car. The car sold was by the nurse."""
    for node, _ in _nodes(root):
        auxiliary = _dependent(node, "aux", "aux:pass")
        negation = next((c for _, c in node.before if c.lemma == "not"), None)
        if auxiliary and negation:
            yield partial(_swap, node, auxiliary, negation)
        elif auxiliary:
            yield partial(_move_after, node, "aux:pass", auxiliary)


def _swap(node: Node, one: Node, two: Node) -> None:
    two.text = "not"  # n't cannot stand alone
    other = {id(one): two, id(two): one}
    relation = {id(c): rel for rel, c in node.before}
    node.before = [(relation[id(c)], c) for c in (other.get(id(c), c) for _, c in node.before)]


def _move_after(node: Node, relation: str, child: Node) -> None:
    node.before = [(rel, c) for rel, c in node.before if c is not child]
    node.after.insert(0, (relation, child))


# ---- noun phrases --------------------------------------------------------------------------


def _arguments(root: Node) -> Iterator[tuple[Node, str]]:
    """Nouns in a role, so not in a place or time."""
    for node, rel in _nodes(root):
        case = _dependent(node, "case")
        if (
            rel in (*_SUBJECTS, *_OBJECTS)
            and node.pos == "NOUN"
            and (case is None or case.text in _MARKERS)
        ):
            yield node, rel


def _article(noun: Node) -> Node | None:
    return next((c for _, c in noun.before if c.text in _ARTICLES), None)


def missing_determiner(root: Node, _rng: random.Random) -> Iterator[Site]:
    """Nurse sold the car."""
    second = {id(_dependent(n, "obj")) for n, _ in _nodes(root) if _dependent(n, "iobj")}
    for noun, _ in _arguments(root):
        article = _article(noun)
        # "showed the boy book" has its article: it speaks of a boy book.
        is_open = id(noun) in second or not _has_two_numbers(noun) or _may_stand_bare(noun.lemma)
        if article and not is_open:
            yield partial(_drop, root, article)


def _may_stand_bare(lemma: str) -> bool:
    """Granny slept, the child ate cake, man is mortal, the girl helped cook."""
    is_other = lemma in ("man", "woman") or lemma in _BASES
    return is_other or not _kinds(lemma).isdisjoint(("food", "relative"))


@cache
def _kinds(lemma: str) -> set[str]:
    return {k for n in lexicon.NOUNS.values() if lemma in n.names for k in n.kinds}


def doubled_determiner(root: Node, rng: random.Random) -> Iterator[Site]:
    """The nurse sold the a car."""
    for noun, _ in _arguments(root):
        article = _article(noun)
        if article:
            twin = Node(article.text if rng.random() < 0.5 else "the", "DET", article.lemma)
            place = noun.before.index(("det", article))
            yield partial(noun.before.insert, place, ("det", twin))


def number(root: Node, _rng: random.Random) -> Iterator[Site]:
    """A nurses sold two car."""
    for noun, _ in _arguments(root):
        words = {c.text for _, c in noun.before}
        if not _has_two_numbers(noun):
            continue
        if words & {"a", "an"}:
            yield _reword(noun, lexicon.plural(noun.lemma))
        elif words & {*lexicon.NUMBERS, "several", "many"}:
            yield _reword(noun, noun.lemma)


def article_form(root: Node, rng: random.Random) -> Iterator[Site]:
    """A apple was eaten by an dog."""
    for node, _ in _nodes(root):
        # "a" is commoner: only so many that "an" alone tells nothing.
        if node.text == "an" or (node.text == "a" and rng.random() < 0.15):
            yield _reword(node, {"a": "an", "an": "a"}[node.text])


def phrase_order(root: Node, _rng: random.Random) -> Iterator[Site]:
    """Nurse the sold the car. The nurse tall sold the car. Tall the nurse sold the car."""
    for noun, rel in _arguments(root):
        front = [(r, c) for r, c in noun.before if r in ("det", "nummod", "amod")]
        if len(front) > 1:
            yield partial(_reorder, noun, [*front[1:], front[0]])
        if rel in _SUBJECTS and front:  # behind an object an adjective may predicate
            yield partial(_move_after, noun, *front[-1])
        elif front and front[0][0] == "det":
            yield partial(_move_after, noun, *front[0])


def _reorder(noun: Node, front: list[tuple[str, Node]]) -> None:
    others = [(r, c) for r, c in noun.before if not any(c is f for _, f in front)]
    noun.before = [*others, *front]


def pronoun_case(root: Node, _rng: random.Random) -> Iterator[Site]:
    """Him sold the car. The nurse helped he."""
    for node, rel in _nodes(root):
        accusative = lexicon.PRONOUNS.get(node.lemma)
        if node.pos == "PRON" and accusative and accusative != node.lemma:
            yield _reword(node, accusative if rel in _SUBJECTS else node.lemma)


# ---- clauses -------------------------------------------------------------------------------


def missing_object(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse rescued."""
    for node, _ in _nodes(root):
        theme = _dependent(node, "obj")
        if theme and node.lemma in _NEEDS_OBJECT and not _dependent(node, "iobj"):
            yield partial(_drop, root, theme)


def missing_subject(root: Node, _rng: random.Random) -> Iterator[Site]:
    """Sold the car."""
    subject = _dependent(root, *_SUBJECTS)
    if subject:
        yield partial(_drop, root, subject)


def extra_object(root: Node, rng: random.Random) -> Iterator[Site]:
    """The nurse slept the dog. The car was broken the sailor by the nurse."""
    for node, _ in _nodes(root):
        if node.lemma in _TAKES_NO_OBJECT or _is_plain_passive(node):
            noun = rng.choice(lexicon.hyponyms("person"))
            added = Node(noun, "NOUN", noun, before=[("det", Node("the", "DET"))])
            yield partial(node.after.insert, 0, ("obj", added))


def _is_plain_passive(node: Node) -> bool:
    """A passive whose verb has one object only: a sailor may well be lent a car by a nurse."""
    is_passive = _dependent(node, "aux:pass") is not None
    return is_passive and node.lemma in _NEEDS_OBJECT - _NAMING


def missing_preposition(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The car was broken the nurse."""
    for node, _ in _nodes(root):
        agent = _dependent(node, "obl:agent")
        if agent and node.lemma in _NEEDS_OBJECT - _NAMING:
            yield partial(_drop, root, _dependent(agent, "case"))


def converse_preposition(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse bought a car to the sailor."""
    for node, _ in _nodes(root):
        for _, child in node.after:
            case = _dependent(child, "case")
            if case and case.text == "to" and node.lemma in _GOES_TO:
                yield _reword(case, "from")
            elif case and case.text == "from" and node.lemma in _COMES_FROM:
                yield _reword(case, "to")


def object_order(root: Node, _rng: random.Random) -> Iterator[Site]:
    """The nurse the car sold."""
    for node, _ in _nodes(root):
        theme, subject = _dependent(node, "obj"), _dependent(node, "nsubj")
        is_relative = subject is None or subject.text in _RELATIVES  # who the nurse helped
        is_apposed = subject is not None and _last(subject).pos == "PROPN"  # Anna the nurse slept
        if theme and not (is_relative or is_apposed or _dependent(node, "aux", "iobj")):
            yield partial(_move_before, node, theme)


def _last(node: Node) -> Node:
    """The last word below ``node``."""
    return _last(node.after[-1][1]) if node.after else node


def _move_before(node: Node, child: Node) -> None:
    node.after = [(rel, c) for rel, c in node.after if c is not child]
    node.before.append(("obj", child))


def double_subject(root: Node, rng: random.Random) -> Iterator[Site]:
    """The nurse she sold the car."""
    for node, _ in _nodes(root):
        subject = _dependent(node, *_SUBJECTS)
        if subject and subject.pos != "PRON":
            yield partial(_resume, node, subject, _pronoun_of(subject, rng))


def _pronoun_of(noun: Node, rng: random.Random) -> str:
    if _is_plural(noun):
        return "they"
    if noun.pos == "NOUN" and "person" not in _kinds(noun.lemma):
        return "it"
    return {"m": "he", "f": "she", "": rng.choice(("he", "she"))}[
        lexicon.gender(noun.text if noun.pos == "PROPN" else noun.lemma)
    ]


def _resume(node: Node, subject: Node, pronoun: str) -> None:
    place = next(i for i, (_, c) in enumerate(node.before) if c is subject)
    node.before.insert(place + 1, ("nsubj", Node(pronoun, "PRON", pronoun)))


def relative_clause(root: Node, rng: random.Random) -> Iterator[Site]:
    """The nurse who she helped him slept. The nurse helped him slept."""
    for noun, rel in _nodes(root):
        clause = _dependent(noun, "acl:relcl")
        subject = clause and _dependent(clause, "nsubj")
        if subject:
            yield partial(_resume, clause, subject, _pronoun_of(noun, rng))
        # After a verb, or before "found", it would be a clause: saw the dog slept.
        if subject and rel in _SUBJECTS and clause.lemma not in _TAKES_CLAUSE:
            yield partial(_drop, root, subject)


VIOLATIONS: dict[str, Find] = {
    find.__name__.replace("_", " "): find
    for find in (
        *(agreement, verb_form, infinitive, verb_order),
        *(missing_determiner, doubled_determiner, number, article_form, phrase_order, pronoun_case),
        *(missing_object, missing_subject, extra_object, missing_preposition),
        *(converse_preposition, object_order, double_subject, relative_clause),
    )
}
