"""HANS: pairs on which three shortcuts of natural language inference go wrong.

Heuristics, subcases and columns are those of McCoy, Pavlick and Linzen (2019, arXiv:1902.01007),
told with the words of the synthetic world: in each pair all words of the hypothesis are in the
premise (lexical overlap), stand there in one run (subsequence), or are a constituent of it. Names
beginning with "ln", "sn" and "cn" are not entailed, those with "le", "se" and "ce" are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Builder, Node, Sentence, Style, assemble
from bertstudy.synthetic.meaning import Event, Thing
from bertstudy.synthetic.tasks.draws import Draw, Row, Spec

if TYPE_CHECKING:
    import datasets

LABELS = ("entailment", "non-entailment")
HEURISTICS = {"l": "lexical_overlap", "s": "subsequence", "c": "constituent"}

# --------------------------------------------------------------------------------------------
# Scenes: four people, two acts, and the constructions they are told in
# --------------------------------------------------------------------------------------------

# Not in the lexicon, because no meaning of the world needs them.
BESIDE = ("near", "behind", "beside")
DOUBTFUL = ("maybe", "perhaps", "probably", "supposedly", "hopefully")
CERTAIN = ("certainly", "definitely", "clearly", "obviously", "undoubtedly")
# Attitudes that also take a person: "Anna knew the nurse slept", "Anna knew the nurse".
_KNOWING = ("know", "remember", "believe")
# Verbs whose object may be left unsaid; the first are done to people, the others to things.
_OPTIONAL = ("help", "assist", "call", "phone", "visit", "follow", "attack", "watch")
_UNDERSTOOD = ("eat", "read", "write", "cook", "bake", "drive", "clean", "paint")
_SURE = tuple(v.names[0] for v in world.ATTITUDES if v.holds == "yes")
_UNSURE = tuple(v.names[0] for v in world.ATTITUDES if v.holds == "unknown")
_VERBS = {name: verb for verb in lexicon.VERBS.values() for name in verb.names}


def _acts() -> tuple[str, ...]:
    """What people do to people. The past tense must serve in the passive too: helped, not ate."""
    fit = (v for v in world.TOLD if (v.agent, v.recipient) == ("person", "")
           and v.theme in ("person", "animate") and v.key not in world.SYMMETRIC)  # fmt: skip
    return tuple(v.key for v in fit if lexicon.past(v.key) == lexicon.participle(v.key))


_ACTS = _acts()
_ALONE = tuple(v.key for v in world.TOLD if not v.theme)


@dataclass(frozen=True)
class Scene:
    """Who and what a pair is about: people ``a`` to ``d``, acts ``v`` and ``w``, ``x`` alone."""

    rng: random.Random
    a: Thing
    b: Thing
    c: Thing
    d: Thing
    v: str
    w: str
    x: str

    def phrase(self, who: Thing | Node) -> Node:
        """A noun phrase, if it is not one already."""
        return Builder(self.rng, Style(synonyms=0.0)).noun(who) if isinstance(who, Thing) else who

    def one_of(self, words: tuple[str, ...]) -> str:
        """Any of the words."""
        return self.rng.choice(words)

    def near(self, who: Thing, other: Thing) -> Node:
        """The nurse near the baker."""
        node, inner = self.phrase(who), self.phrase(other)
        inner.before.insert(0, ("case", Node(self.one_of(BESIDE), "ADP")))
        node.after.append(("nmod", inner))
        return node

    def who(self, who: Thing, verb: str, other: Thing | None = None) -> Node:
        """The nurse who helped the baker."""
        node = self.phrase(who)
        node.after.append(("acl:relcl", self.did(Node("who", "PRON"), verb, other)))
        return node

    def both(self, who: Thing, other: Thing) -> Node:
        """The nurse and the baker."""
        node, second = self.phrase(who), self.phrase(other)
        second.before.insert(0, ("cc", Node("and", "CCONJ")))
        node.after.append(("conj", second))
        return node

    def done(self, who: Thing, verb: str, place: str) -> Node:
        """The nurse helped in the park: the one whom somebody helped there."""
        node = self.phrase(who)
        participle = Node(lexicon.participle(verb), "VERB", verb, frame=_VERBS[verb].frame)
        participle.after.append(("obl", self.where(place)))
        node.after.append(("acl", participle))
        return node

    def where(self, place: str) -> Node:
        """In the park."""
        return Builder(self.rng, Style(synonyms=0.0)).place(place)

    def did(self, who: Thing | Node, verb: str, other: Thing | Node | None = None) -> Node:
        """The nurse helped the baker."""
        subject = self.phrase(who)
        head = Node(lexicon.past(verb), "VERB", verb, [("nsubj", subject)],
                    frame=_VERBS[verb].frame, roles=[(0, subject)])  # fmt: skip
        if other is not None:
            theme = self.phrase(other)
            head.after.append(("obj", theme))
            head.roles.append((1, theme))
        return head

    def suffered(self, who: Thing, verb: str, agent: Thing) -> Node:
        """The baker was helped by the nurse."""
        return Builder(self.rng, Style("passive", synonyms=0.0)).event(Event(verb, agent, who))

    def thought(self, who: Thing, verb: str, clause: Node, that: bool = True) -> Node:
        """The nurse said that ..."""
        head = self.did(who, verb)
        if that:
            clause.before.insert(0, ("mark", Node("that", "SCONJ")))
        head.after.append(("ccomp", clause))
        head.roles.append((1, clause))
        return head

    def after(self, connective: str, first: Node, main: Node, comma: bool = True) -> Node:
        """Because the nurse slept, ..."""
        first.before.insert(0, ("mark", Node(connective, "SCONJ")))
        main.before[:0] = [("advcl", first), *([("punct", Node(",", "PUNCT"))] if comma else [])]
        return main

    def linked(self, first: Node, connective: str, second: Node) -> Node:
        """... and ..., ... or ..."""
        second.before.insert(0, ("cc", Node(connective, "CCONJ")))
        first.after.append(("conj", second))
        return first

    def adverb(self, words: tuple[str, ...], clause: Node) -> Node:
        """Certainly the nurse slept."""
        clause.before.insert(0, ("advmod", Node(self.one_of(words), "ADV")))
        return clause


def draw_scene(draw: Draw) -> Scene:
    """Four people of one topic and what they do."""
    nouns = draw.rng.sample(world.topic_nouns(draw.rng.choice(draw.topics))[0], 4)
    numbers = [draw.rng.choice(lexicon.NUMBERS) if draw.chance(0.15) else "the" for _ in nouns]
    people = (Thing(noun, number) for noun, number in zip(nouns, numbers, strict=True))
    return Scene(draw.rng, *people, *draw.rng.sample(_ACTS, 2), draw.rng.choice(_ALONE))


# --------------------------------------------------------------------------------------------
# Templates: a scene gives a premise and a hypothesis
# --------------------------------------------------------------------------------------------

Template = Callable[[Scene], tuple[Node, Node]]

LEXICAL: dict[str, tuple[Template, ...]] = {
    "ln_subject/object_swap": (lambda s: (s.did(s.a, s.v, s.b), s.did(s.b, s.v, s.a)),),
    "ln_preposition": (
        lambda s: (s.did(s.near(s.a, s.c), s.v, s.b), s.did(s.c, s.v, s.a)),
        lambda s: (s.did(s.near(s.a, s.c), s.v, s.b), s.did(s.b, s.v, s.a)),
        lambda s: (s.did(s.a, s.v, s.near(s.b, s.c)), s.did(s.c, s.v, s.a)),
    ),
    "ln_relative_clause": (
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.v, s.b), s.did(s.c, s.v, s.a)),
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.v, s.b), s.did(s.b, s.v, s.a)),
        lambda s: (s.did(s.a, s.v, s.who(s.b, s.w, s.c)), s.did(s.c, s.w, s.b)),
    ),
    "ln_passive": (lambda s: (s.suffered(s.a, s.v, s.b), s.did(s.a, s.v, s.b)),),
    "ln_conjunction": (
        lambda s: (s.did(s.both(s.a, s.c), s.v, s.b), s.did(s.c, s.v, s.a)),
        lambda s: (s.did(s.a, s.v, s.both(s.b, s.c)), s.did(s.b, s.v, s.c)),
    ),
    "le_relative_clause": (
        lambda s: (s.did(s.a, s.v, s.who(s.b, s.w, s.c)), s.did(s.b, s.w, s.c)),
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.v, s.b), s.did(s.a, s.w, s.c)),
    ),
    "le_around_prepositional_phrase": (
        lambda s: (s.did(s.near(s.a, s.c), s.v, s.b), s.did(s.a, s.v, s.b)),
    ),
    "le_around_relative_clause": (
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.v, s.b), s.did(s.a, s.v, s.b)),
    ),
    "le_conjunction": (
        lambda s: (s.did(s.both(s.a, s.c), s.v, s.b), s.did(s.a, s.v, s.b)),
        lambda s: (s.did(s.a, s.v, s.both(s.b, s.c)), s.did(s.a, s.v, s.c)),
    ),
    "le_passive": (lambda s: (s.suffered(s.a, s.v, s.b), s.did(s.b, s.v, s.a)),),
}


def _garden_path(s: Scene) -> tuple[Node, Node]:
    """After the nurse called the baker slept: nobody is said to have called the baker."""
    verb, link = s.one_of(_OPTIONAL), s.one_of(("after", "while", "because", "although"))
    premise = s.after(link, s.did(s.a, verb), s.did(s.b, s.w, s.c), comma=False)
    return premise, s.did(s.a, verb, s.b)


def _known(s: Scene) -> tuple[Node, Node]:
    verb = s.one_of(_KNOWING)
    return s.thought(s.a, verb, s.did(s.b, s.w, s.c), that=False), s.did(s.a, verb, s.b)


def _participle_last(s: Scene) -> tuple[Node, Node]:
    verb, place = s.one_of(_OPTIONAL), s.one_of(lexicon.hyponyms("room"))
    return s.did(s.a, s.v, s.done(s.b, verb, place)), _did_there(s, s.b, verb, place)


def _participle_first(s: Scene) -> tuple[Node, Node]:
    verb, place = s.one_of(_OPTIONAL), s.one_of(lexicon.hyponyms("building"))
    return s.did(s.done(s.a, verb, place), s.v, s.b), _did_there(s, s.a, verb, place)


def _did_there(s: Scene, who: Thing, verb: str, place: str) -> Node:
    clause = s.did(who, verb)
    clause.after.append(("obl", s.where(place)))
    return clause


def _adjective(s: Scene) -> tuple[Node, Node]:
    """Brave nurses helped the baker: bare plurals, so that the adjective stands first."""
    noun, options = lexicon.NOUNS[s.a.noun].names[0], lexicon.adjectives_of(s.a.noun)
    premise, hypothesis = (
        s.did(Node(lexicon.plural(noun), "NOUN", noun, before), s.v, s.b)
        for before in ([("amod", Node(s.rng.choice(options).key, "ADJ"))], [])
    )
    return premise, hypothesis


def _understood(s: Scene) -> tuple[Node, Node]:
    verb = s.one_of(_UNDERSTOOD)
    kinds = [n for n in lexicon.NOUNS if lexicon.is_kind(n, lexicon.VERBS[verb].theme)]
    thing = Thing(s.rng.choice([n for n in kinds if n not in lexicon.MASS]), s.one_of(("the", "a")))
    return s.did(s.a, verb, thing), s.did(s.a, verb)


SUBSEQUENCE: dict[str, tuple[Template, ...]] = {
    "sn_NP/S": (_known,),
    "sn_PP_on_subject": (
        lambda s: (s.did(s.near(s.a, s.c), s.v, s.b), s.did(s.c, s.v, s.b)),
        lambda s: (s.did(s.near(s.a, s.c), s.x), s.did(s.c, s.x)),
    ),
    "sn_relative_clause_on_subject": (
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.v, s.b), s.did(s.c, s.v, s.b)),
        lambda s: (s.did(s.who(s.a, s.w, s.c), s.x), s.did(s.c, s.x)),
    ),
    "sn_past_participle": (_participle_last, _participle_first),
    "sn_NP/Z": (_garden_path,),
    "se_conjunction": (
        lambda s: (s.did(s.both(s.a, s.c), s.v, s.b), s.did(s.c, s.v, s.b)),
        lambda s: (s.did(s.a, s.v, s.both(s.b, s.c)), s.did(s.a, s.v, s.b)),
    ),
    "se_adjective": (_adjective,),
    "se_understood_object": (_understood,),
    "se_relative_clause_on_obj": (
        lambda s: (s.did(s.a, s.v, s.who(s.b, s.w, s.c)), s.did(s.a, s.v, s.b)),
    ),
    "se_PP_on_obj": (lambda s: (s.did(s.a, s.v, s.near(s.b, s.c)), s.did(s.a, s.v, s.b)),),
}


def _subordinate(links: tuple[str, ...], is_first: bool) -> Template:
    """Connective, clause, comma, clause; the hypothesis is the first or the second of them."""

    def template(s: Scene) -> tuple[Node, Node]:
        first, main = (lambda: s.did(s.a, s.v, s.b)), (lambda: s.did(s.c, s.w, s.d))
        premise = s.after(s.one_of(links), first(), main())
        return premise, first() if is_first else main()

    return template


def _linked(link: str, is_first: bool) -> Template:
    def template(s: Scene) -> tuple[Node, Node]:
        first, second = (lambda: s.did(s.a, s.v, s.b)), (lambda: s.did(s.c, s.x))
        return s.linked(first(), link, second()), first() if is_first else second()

    return template


def _thought(verbs: tuple[str, ...]) -> Template:
    return lambda s: (s.thought(s.a, s.one_of(verbs), s.did(s.b, s.v, s.c)), s.did(s.b, s.v, s.c))


def _with_adverb(words: tuple[str, ...]) -> Template:
    return lambda s: (s.adverb(words, s.did(s.a, s.v, s.b)), s.did(s.a, s.v, s.b))


_UNREAL, _REAL = ("if", "unless"), ("because", "although", "after", "while")
CONSTITUENT: dict[str, tuple[Template, ...]] = {
    "cn_embedded_under_if": (_subordinate(_UNREAL, True),),
    "cn_after_if_clause": (_subordinate(_UNREAL, False),),
    "cn_embedded_under_verb": (_thought(_UNSURE),),
    "cn_disjunction": (_linked("or", True), _linked("or", False)),
    "cn_adverb": (_with_adverb(DOUBTFUL),),
    "ce_embedded_under_since": (_subordinate(_REAL, True),),
    "ce_after_since_clause": (_subordinate(_REAL, False),),
    "ce_embedded_under_verb": (_thought(_SURE),),
    "ce_conjunction": (_linked("and", True), _linked("and", False)),
    "ce_adverb": (_with_adverb(CERTAIN),),
}

SUBCASES: dict[str, tuple[Template, ...]] = {**LEXICAL, **SUBSEQUENCE, **CONSTITUENT}
_NUMBER = {t: f"temp{n}" for n, t in enumerate((t for ts in SUBCASES.values() for t in ts), 1)}

# --------------------------------------------------------------------------------------------
# Constituents, read off the dependency tree
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parse:
    """A phrase with its parts, or a word with its tag; labels as in the Penn Treebank."""

    label: str
    parts: tuple[Parse, ...] = ()
    word: str = ""

    def __str__(self) -> str:
        return f"({self.label} {self.word or ' '.join(map(str, self.parts))})"

    @property
    def binary(self) -> str:
        """Brackets without labels, two parts in each, as SNLI has them."""
        if self.word:
            return self.word
        *first, last = (part.binary for part in self.parts)
        for part in reversed(first):
            last = f"( {part} {last} )"
        return last


_TAGS = {"ADJ": "JJ", "ADP": "IN", "ADV": "RB", "AUX": "VBD", "CCONJ": "CC", "DET": "DT",
         "NUM": "CD", "PROPN": "NNP", "SCONJ": "IN", "PRON": "WP"}  # fmt: skip


def parse(sentence: Sentence) -> Parse:
    """The constituents of a sentence of this module; it knows no other constructions."""
    root = next(node for node, head, _ in sentence.order if head is None)
    return Parse("ROOT", (_clause(root),))


def _tagged(node: Node, is_participle: bool = False) -> Parse:
    if node.pos == "PUNCT":
        return Parse(node.text, word=node.text)
    if node.pos == "NOUN":
        is_plural = node.text.lower() != node.lemma.lower() if node.lemma else False
        return Parse("NNS" if is_plural else "NN", word=node.text)
    if node.pos == "VERB":
        return Parse("VBN" if is_participle else "VBD", word=node.text)
    return Parse(_TAGS[node.pos], word=node.text)


def _clause(node: Node) -> Parse:
    """S, or SBAR where a connective or "who" opens it. What stands before or beside the subject
    and its verb is outside their own S, so that this S is a constituent."""
    subject = next(n for relation, n in node.before if relation.startswith("nsubj"))
    if subject.text == "who":
        return Parse("SBAR", (Parse("WHNP", (_tagged(subject),)), Parse("S", (_verbal(node),))))
    core = Parse("S", (_nominal(subject), _verbal(node)))
    front = [_outside(r, n) for r, n in node.before if r in ("advcl", "advmod", "punct")]
    others = [part for r, n in node.after if r == "conj" for part in (_linking(n), _clause(n))]
    stop = [_tagged(n) for r, n in node.after if r == "punct"]
    kernel = (core,) if front or others else core.parts
    whole = Parse("S", (*front, *kernel, *others, *stop))
    marks = [_tagged(n) for r, n in node.before if r == "mark"]
    return Parse("SBAR", (*marks, whole)) if marks else whole


def _outside(relation: str, node: Node) -> Parse:
    if relation == "advcl":
        return _clause(node)
    return Parse("ADVP", (_tagged(node),)) if relation == "advmod" else _tagged(node)


def _linking(node: Node) -> Parse:
    return next(_tagged(n) for relation, n in node.before if relation == "cc")


def _verbal(node: Node, is_reduced: bool = False) -> Parse:
    """VP; each auxiliary has the rest as its own VP. ``is_reduced``: "the nurse *helped there*"."""
    auxiliaries = [n for relation, n in node.before if relation.startswith("aux")]
    inner = [_inside(r, n) for r, n in node.after if r not in ("conj", "punct")]
    phrase = Parse("VP", (_tagged(node, bool(auxiliaries) or is_reduced), *inner))
    for auxiliary in reversed(auxiliaries):
        phrase = Parse("VP", (_tagged(auxiliary), phrase))
    return phrase


def _inside(relation: str, node: Node) -> Parse:
    if relation != "ccomp":
        return _nominal(node)
    clause = _clause(node)
    return clause if clause.label == "SBAR" else Parse("SBAR", (clause,))


def _nominal(node: Node) -> Parse:
    """NP, or PP where a preposition opens it."""
    words = [n for r, n in node.before if r in ("det", "amod", "nummod")]
    phrase = Parse("NP", tuple(_tagged(n) for n in (*words, node)))
    modifiers = [_modifier(r, n) for r, n in node.after if r in ("nmod", "acl:relcl", "acl")]
    joined = [part for r, n in node.after if r == "conj" for part in (_linking(n), _nominal(n))]
    if modifiers or joined:
        phrase = Parse("NP", (phrase, *modifiers, *joined))
    cases = [_tagged(n) for r, n in node.before if r == "case"]
    return Parse("PP", (*cases, phrase)) if cases else phrase


def _modifier(relation: str, node: Node) -> Parse:
    if relation == "nmod":
        return _nominal(node)
    return _verbal(node, is_reduced=True) if relation == "acl" else _clause(node)


# --------------------------------------------------------------------------------------------
# Rows
# --------------------------------------------------------------------------------------------


def _hans(draw: Draw, number: int) -> Row | None:
    """The subcases in turn, so that there are equally many of each; None: the other split's."""
    return _pair(draw, tuple(SUBCASES)[number % len(SUBCASES)])


def _pair(draw: Draw, subcase: str) -> Row | None:
    """A pair of the subcase; None where a sentence belongs to the other split."""
    template, scene = draw.rng.choice(SUBCASES[subcase]), draw_scene(draw)
    meaning = Event(scene.v, scene.a, scene.b)
    premise, hypothesis = (_told(root, meaning) for root in template(scene))
    if {world.side(s.text) for s in (premise, hypothesis)} != {draw.split}:
        return None
    label = int(subcase[1] == "n")
    columns = {
        "premise": premise.text,
        "hypothesis": hypothesis.text,
        "label": label,
        **_parses("premise", premise),
        **_parses("hypothesis", hypothesis),
        "heuristic": HEURISTICS[subcase[0]],
        "subcase": subcase,
        "template": _NUMBER[template],
    }
    return Row((premise, hypothesis), label, subcase, columns)


def _told(root: Node, meaning: Event) -> Sentence:
    root.after.append(("punct", Node(".", "PUNCT")))
    return assemble(root, meaning)


def _parses(name: str, sentence: Sentence) -> dict[str, str]:
    tree = parse(sentence)
    return {f"parse_{name}": str(tree), f"binary_parse_{name}": tree.binary}


def _features() -> datasets.Features:
    import datasets

    text = datasets.Value("string")
    parses = [f"{kind}_{part}" for kind in ("parse", "binary_parse")
              for part in ("premise", "hypothesis")]  # fmt: skip
    columns = dict.fromkeys((*parses, "heuristic", "subcase", "template"), text)
    label = datasets.ClassLabel(names=list(LABELS))
    return datasets.Features({"premise": text, "hypothesis": text, "label": label, **columns})


SPECS = {
    "hans": Spec(
        ("premise", "hypothesis"),
        LABELS,
        {"train": 30 * len(SUBCASES), "validation": 60 * len(SUBCASES)},
        (),  # no shares: the row's number decides
        _hans,
        features=_features,
    )
}
