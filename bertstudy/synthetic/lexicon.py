"""The words of the synthetic world, with their meaning and their forms.

The tables are plain text, one idea per line, so that a word can be added without touching code.
``a=b`` makes *b* a synonym of *a*: both name the same concept, whose key is the first of them.

Frame names and element names follow FrameNet's (Baker, Fillmore and Lowe, 1998), simplified.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


def words_of(text: str) -> frozenset[str]:
    """The blank-separated words of a text."""
    return frozenset(text.split())


# --------------------------------------------------------------------------------------------
# Nouns. "kind: members" says that each member is a kind of `kind`; the kinds form a forest.
# --------------------------------------------------------------------------------------------

_NOUNS = """
person: worker medic artist scientist=researcher athlete official criminal child=kid relative
person: lawyer=attorney teacher=instructor student=pupil neighbour soldier sailor man woman
worker: farmer baker plumber carpenter tailor waiter gardener mechanic butcher driver cook=chef
medic: doctor=physician nurse surgeon dentist
artist: painter singer=vocalist dancer actor=performer poet musician
scientist: chemist biologist astronomer geologist
athlete: runner swimmer boxer goalkeeper cyclist
official: mayor judge minister senator detective=investigator
criminal: thief=robber burglar smuggler pirate
child: boy girl
relative: aunt uncle cousin grandmother=granny
animal: dog=hound cat bird horse fish rodent goat sheep pig=hog
dog: poodle beagle terrier spaniel
cat: tabby kitten
bird: robin sparrow parrot crow
horse: pony stallion
fish: salmon trout
rodent: mouse rat hamster squirrel
vehicle: car=automobile truck=lorry boat bicycle=bike
car: sedan taxi=cab limousine
boat: ferry canoe yacht
food: fruit vegetable dessert loaf sandwich sausage=frankfurter
fruit: apple pear plum cherry
vegetable: carrot potato onion cabbage
dessert: cake pie pudding
instrument: violin=fiddle guitar piano drum trumpet
tool: hammer saw wrench=spanner shovel=spade
garment: coat=jacket hat=cap scarf shirt dress=gown
furniture: chair table sofa=couch desk bed
document: letter book contract=agreement map
book: novel diary dictionary
jewel: ring necklace bracelet diamond
container: sack=bag crate=box bottle basket
building: hotel=inn school hospital=clinic church library museum theatre station
room: kitchen cellar=basement attic bedroom office
shop=store: bakery pharmacy
land: garden=yard park forest=wood meadow valley farm
shore: beach harbour=port
work: film=movie play=drama concert song show=spectacle
part: story=plot acting=performance script=screenplay ending=finale music dialogue
"""

_ROOTS = {  # which broad class each top kind belongs to
    "person": "animate", "animal": "animate",
    "food": "object",
    **dict.fromkeys(("vehicle", "instrument", "tool", "garment", "furniture", "document",
                     "jewel", "container"), "artefact"),
    **dict.fromkeys(("building", "room", "shop", "land", "shore"), "place"),
    **dict.fromkeys(("work", "part"), "culture"),
}  # fmt: skip

_IRREGULAR_PLURALS = {
    "child": "children", "man": "men", "woman": "women", "mouse": "mice", "sheep": "sheep",
    "fish": "fish", "salmon": "salmon", "trout": "trout", "thief": "thieves",
    "loaf": "loaves", "scarf": "scarves",
}  # fmt: skip

MASS = frozenset({"food", "furniture"})  # neither counted nor given "a"

_GENDERS = {"boy": "m", "man": "m", "uncle": "m", "girl": "f", "woman": "f", "aunt": "f",
            "grandmother": "f"}  # fmt: skip

# --------------------------------------------------------------------------------------------
# Verbs: "verb=synonyms | frame | agent class | theme class | recipient class | relations".
# isa: what doing it entails.  opp: its opposite.  conv: the same event from the other side.
# result: what holds afterwards of the theme (an adjective), or "have": the recipient has it.
# clause verbs take "that ..."; plan verbs take "to ...". holds: whether the clause is then true.
# --------------------------------------------------------------------------------------------

_VERBS = """
follow=trail | Cotheme | animate | animate
chase=pursue | Cotheme | animate | animate | isa=follow
help=assist | Assistance | person | person
rescue=save | Rescuing | person | animate | isa=help
cure=heal | Cure | medic | animate | isa=help opp=injure result=well
praise=commend | Judgment_communication | person | person | opp=criticize
criticize=condemn | Judgment_communication | person | person | opp=praise
thank | Judgment_direct_address | person | person | opp=blame
blame=accuse | Judgment_direct_address | person | person | opp=thank
like | Experiencer_focus | person | any | opp=dislike
adore=love | Experiencer_focus | person | any | isa=like opp=detest
dislike | Experiencer_focus | person | any | opp=like
detest=hate | Experiencer_focus | person | any | isa=dislike opp=adore
respect=admire | Judgment | person | person | opp=despise
despise=scorn | Judgment | person | person | opp=respect
fear=dread | Experiencer_focus | animate | animate
trust | Reliance | person | person | opp=suspect
suspect=doubt | Reliance | person | person | opp=trust
touch | Manipulation | person | any
kiss | Manipulation | person | person | isa=touch
hug=embrace | Manipulation | person | animate | isa=touch
push=shove | Cause_motion | person | any | isa=touch opp=pull
pull=drag | Cause_motion | person | any | isa=touch opp=push
hit=strike | Cause_harm | person | animate | isa=touch
kick | Cause_harm | person | animate | isa=hit
punch | Cause_harm | person | person | isa=hit
harm=hurt | Cause_harm | animate | animate
injure=wound | Cause_harm | animate | animate | isa=harm opp=cure
bite | Cause_harm | animal | animate | isa=harm
attack=assault | Attack | animate | animate | opp=defend
defend=protect | Defending | person | person | opp=attack
hire=employ | Hiring | person | person | opp=fire
fire=dismiss | Firing | person | person | opp=hire
defeat=beat | Beat_opponent | person | person
meet | Make_acquaintance | person | person
visit | Visiting | person | person
contact | Contacting | person | person
call=phone | Contacting | person | person | isa=contact
invite | Request | person | person
warn=alert | Warning | person | person
greet=welcome | Judgment_direct_address | person | person
capture=catch | Taking_captive | person | animate | opp=release
release=free | Releasing | person | animate | opp=capture
deceive=trick | Deception | person | person
amuse=entertain | Stimulate_emotion | person | person | opp=bore
bore | Stimulate_emotion | person | person | opp=amuse
find=discover | Locating | person | any | opp=lose
lose | Losing | person | object | opp=find
see | Perception | person | any
watch=observe | Perception | person | any | isa=see
feed | Feeding | person | animal
damage | Damaging | person | artefact | opp=repair
break=smash | Damaging | person | artefact | isa=damage opp=repair result=broken
destroy=wreck | Destroying | person | artefact | isa=damage opp=build
burn | Destroying | person | artefact | isa=damage
repair=fix | Repairing | person | artefact | opp=break
build=construct | Building | worker | furniture,boat,bicycle | isa=make opp=destroy
make=produce | Building | person | furniture,dessert,garment
clean=wash | Removing | person | artefact | opp=stain result=clean
stain=soil | Filling | person | artefact | opp=clean result=dirty
paint | Filling | person | furniture,vehicle,container
hide=conceal | Hiding | person | object | opp=show
move | Cause_motion | person | object
carry=haul | Bringing | person | object | isa=move
lift=raise | Cause_motion | person | object | isa=move opp=lower
lower | Cause_motion | person | object | isa=move opp=lift
take | Taking | person | object
steal | Theft | person | object | isa=take
grab=seize | Taking | person | object | isa=take
keep=retain | Retaining | person | object | opp=discard
discard=dump | Disposing | person | object | opp=keep
own=possess | Possession | person | object | isa=have
have | Possession | person | object
want=desire | Desiring | person | object
eat=consume | Ingestion | animate | food
devour=gobble | Ingestion | animate | food | isa=eat
nibble | Ingestion | animate | food | isa=eat
prepare | Cooking | person | food
cook | Cooking | person | food | isa=prepare
bake | Cooking | person | dessert,loaf | isa=cook
roast | Cooking | person | vegetable,fish | isa=cook
fry | Cooking | person | vegetable,fish | isa=cook
read | Reading | person | document | opp=ignore
ignore=neglect | Attention | person | person,document
write=compose | Text_creation | person | document
sign | Sign_agreement | person | letter,contract
open | Closure | person | container,letter | opp=close result=open
close=shut | Closure | person | container | opp=open result=closed
drive | Operate_vehicle | person | car,truck
park | Operate_vehicle | person | car,truck,bicycle
wear | Wearing | person | garment,jewel
sell | Commerce_sell | person | object,animal | person | conv=buy result=have
lend=loan | Lending | person | object | person | conv=borrow result=have
give=hand | Giving | person | object,animal | person | conv=receive result=have
send=mail | Sending | person | document,container,food,garment,jewel | person
show | Cause_to_perceive | person | object,animal | person
offer | Offering | person | object,animal | person
bring | Bringing | person | object,animal | person
throw=toss | Cause_motion | person | fruit,tool,garment,container | person
sleep=slumber | Sleep | animate | opp=wake
wake=awaken | Waking_up | animate | opp=sleep
laugh=chuckle | Make_noise | person | opp=cry
cry=weep | Make_noise | person | opp=laugh
smile=grin | Making_faces | person | opp=frown
frown=scowl | Making_faces | person | opp=smile
dance | Moving_in_place | person
sing | Make_noise | person
arrive=come | Arriving | animate | opp=leave
leave=depart | Departing | animate | opp=arrive
run | Self_motion | animate
sprint=dash | Self_motion | animate | isa=run
jog | Self_motion | person | isa=run
walk | Self_motion | animate
limp | Self_motion | animate | isa=walk
stroll=wander | Self_motion | animate | isa=walk
swim | Self_motion | animate
fall=stumble | Motion_directional | animate
wait=linger | Waiting | person
shout=yell | Communication_noise | person | opp=whisper
whisper=murmur | Communication_noise | person | opp=shout
rest=relax | Resting | animate | opp=work
work=labour | Work | person | opp=rest
complain=grumble | Complaining | person | opp=rejoice
rejoice=celebrate | Rejoicing | person | opp=complain
vanish=disappear | Departing | animate | opp=appear
appear=emerge | Arriving | animate | opp=vanish
know | Awareness | person | clause | holds=yes
realize | Coming_to_believe | person | clause | holds=yes
remember | Memory | person | clause | holds=yes
regret | Experiencer_focus | person | clause | holds=yes
say=state | Statement | person | clause | holds=unknown
claim=assert | Statement | person | clause | holds=unknown
think=believe | Opinion | person | clause | holds=unknown
hope | Desiring | person | clause | holds=unknown
manage | Success_or_failure | person | plan | holds=yes
fail | Success_or_failure | person | plan | holds=no
forget | Memory | person | plan | holds=no
refuse=decline | Agree_or_refuse | person | plan | holds=no
try=attempt | Attempt | person | plan | holds=unknown
plan=intend | Purpose | person | plan | holds=unknown
"""

_CONVERSES = """
buy=purchase | Commerce_buy | sell
borrow | Borrowing | lend
receive=get | Receiving | give
"""

_IRREGULAR_VERBS = """
catch caught caught, find found found, lose lost lost, hit hit hit, strike struck struck,
beat beat beaten, meet met met, break broke broken, build built built, make made made,
hide hid hidden, take took taken, steal stole stolen, keep kept kept, eat ate eaten,
read read read, write wrote written, shut shut shut, drive drove driven, wear wore worn,
sell sold sold, lend lent lent, give gave given, send sent sent, show showed shown,
bring brought brought, throw threw thrown, sleep slept slept, wake woke woken, weep wept wept,
sing sang sung, come came come, leave left left, run ran run, swim swam swum, fall fell fallen,
have had had, buy bought bought, get got got, see saw seen, bite bit bitten, feed fed fed,
know knew known, say said said, think thought thought, forget forgot forgotten, hurt hurt hurt
"""

# Core elements per frame, in the order agent, theme, recipient; otherwise Agent, Theme, Recipient.
_ELEMENTS = """
Cotheme: Theme Cotheme
Assistance: Helper Benefited_party
Rescuing: Agent Patient
Cure: Healer Patient
Judgment_communication: Communicator Evaluee
Judgment_direct_address: Communicator Addressee
Judgment: Cognizer Evaluee
Experiencer_focus: Experiencer Content
Reliance: Protagonist Intermediary
Manipulation: Agent Entity
Cause_harm: Agent Victim
Attack: Assailant Victim
Defending: Defender Victim
Hiring: Employer Employee
Firing: Employer Employee
Beat_opponent: Winner Loser
Visiting: Agent Entity
Contacting: Communicator Addressee
Request: Speaker Addressee
Warning: Speaker Addressee
Taking_captive: Agent Captive
Deception: Deceiver Victim
Stimulate_emotion: Stimulus Experiencer
Locating: Perceiver Sought_entity
Losing: Owner Possession
Perception: Perceiver Phenomenon
Damaging: Agent Patient
Destroying: Destroyer Patient
Building: Agent Created_entity
Hiding: Agent Hidden_object
Theft: Perpetrator Goods
Possession: Owner Possession
Desiring: Experiencer Event
Ingestion: Ingestor Ingestibles
Cooking: Cook Food
Reading: Reader Text
Text_creation: Author Text
Operate_vehicle: Driver Vehicle
Wearing: Wearer Clothing
Commerce_sell: Seller Goods Buyer
Commerce_buy: Seller Goods Buyer
Lending: Lender Theme Borrower
Borrowing: Lender Theme Borrower
Giving: Donor Theme Recipient
Receiving: Donor Theme Recipient
Sending: Sender Theme Recipient
Offering: Offerer Theme Potential_recipient
Cause_to_perceive: Agent Phenomenon Perceiver
Self_motion: Self_mover
Sleep: Sleeper
Waking_up: Sleeper
Statement: Speaker Message
Opinion: Cognizer Opinion
Awareness: Cognizer Content
Coming_to_believe: Cognizer Content
Memory: Cognizer Content
Attempt: Agent Goal
Success_or_failure: Agent Goal
Agree_or_refuse: Speaker Proposed_action
Purpose: Agent Goal
"""

# --------------------------------------------------------------------------------------------
# Adjectives: "adjective=synonyms / opposite=synonyms : what it can be said of".
# --------------------------------------------------------------------------------------------

_ADJECTIVES = """
big=large / small=little : animal vehicle furniture container tool place
old=ancient / new=modern : vehicle furniture instrument garment document tool
elderly=aged / young=youthful : person animal
heavy / light : container furniture tool instrument
costly=expensive / cheap=inexpensive : vehicle furniture instrument garment jewel
wet=damp / dry : garment document container furniture
dirty=filthy / clean : vehicle furniture garment tool container
broken=damaged / intact : vehicle furniture instrument tool container jewel
rich=wealthy / poor=needy : person
tall / short : person
tired=weary / rested : person animal
hungry=starving / full : person animal
happy=glad / sad=unhappy : person
angry=furious / calm : person animal
kind=friendly / cruel=mean : person
famous / unknown=obscure : person
quiet=silent / loud=noisy : person animal instrument
strong=powerful / weak=feeble : person animal
clever=smart / foolish=stupid : person
brave=courageous / cowardly=timid : person
polite=courteous / rude=impolite : person
well=healthy / ill=sick : person animal
fresh / stale=rotten : food
tasty=delicious / bland=tasteless : food
open / closed=shut : container
red / green : vehicle garment furniture container fruit
blue / yellow : vehicle garment furniture container
black / white : vehicle garment furniture animal
"""

# Sets of synonymous judgements; the two lists run roughly
# opposite to each other.
_POSITIVE = """
good fine decent / great superb excellent / wonderful marvellous splendid / brilliant dazzling
funny amusing hilarious / moving touching stirring / gripping thrilling exciting / clever smart
fresh original inventive / elegant graceful polished / warm tender heartfelt / beautiful lovely
fascinating absorbing engaging / enjoyable pleasant delightful / memorable unforgettable
witty sparkling / sincere honest truthful / lively energetic vibrant / subtle nuanced
powerful compelling / charming enchanting
"""
_NEGATIVE = """
bad poor lousy / terrible awful dreadful / horrible ghastly appalling / mediocre uninspired
unfunny humourless / cold bloodless heartless / boring dull tedious / stupid silly inane
stale derivative unoriginal / clumsy awkward sloppy / bitter sour / ugly hideous
confusing muddled incoherent / annoying irritating tiresome / forgettable unremarkable
bland insipid / fake phoney dishonest / lifeless sluggish listless / crude heavy-handed
pointless meaningless / repulsive disgusting
"""
_POSITIVE_NOUNS = "triumph success / delight pleasure treat / masterpiece gem / joy"
_NEGATIVE_NOUNS = "failure flop / bore chore ordeal / disaster mess / disgrace"
_POSITIVE_VERBS = "enjoy relish savour / adore love / admire appreciate / recommend endorse"
_NEGATIVE_VERBS = "dislike resent / detest hate loathe / scorn despise / regret deplore"

INTENSIFIERS = ("very", "really", "truly", "quite", "deeply")
DOUBTS = ("hardly", "scarcely", "never")  # each turns a judgement round, as "not" does

MANNERS = {  # adverb: its synonyms and opposite
    "quickly": (("rapidly",), "slowly"), "slowly": ((), "quickly"),
    "quietly": (("silently",), "loudly"), "loudly": (("noisily",), "quietly"),
    "gladly": (("happily",), "reluctantly"), "reluctantly": (("unwillingly",), "gladly"),
    "carefully": (("cautiously",), "carelessly"), "carelessly": ((), "carefully"),
    "secretly": (("covertly",), "openly"), "openly": (("publicly",), "secretly"),
    "suddenly": (("abruptly",), "gradually"), "gradually": ((), "suddenly"),
}  # fmt: skip

TIMES = ("on Monday", "on Tuesday", "on Thursday", "on Friday", "on Sunday", "in March", "in May",
         "in August", "in October", "at noon", "at midnight", "at dawn", "in the morning",
         "in the evening", "in spring", "in autumn", "in winter")  # fmt: skip
CITIES = ("London", "Paris", "Rome", "Vienna", "Cairo", "Boston", "Tokyo", "Lima")
NAMES = {
    **dict.fromkeys(("Anna", "Mary", "Clara", "Emma", "Julia", "Nora", "Ruth", "Sarah",
                     "Alice", "Helen"), "f"),
    **dict.fromkeys(("Tom", "John", "Peter", "David", "Henry", "Oscar", "Paul", "Simon",
                     "Victor", "Walter"), "m"),
}  # fmt: skip
PRONOUNS = {  # and their accusatives
    "he": "him", "she": "her", "it": "it", "they": "them", "that": "that",
    "someone": "someone", "something": "something",
}  # fmt: skip
NUMBERS = ("two", "three", "four", "five", "six", "ten")
QUANTIFIERS = ("the", "a", "some", "every", "no", "several", "many", *NUMBERS)
CONNECTIVES = ("and", "because", "after", "before", "although", "while", "or", "if")
_AT_PLACES = words_of("hotel school hospital library museum theatre station bakery pharmacy farm "
                      "harbour shop")  # fmt: skip
_ON_PLACES = words_of("beach shore")

# What a story or a text is about: kinds of people, things and places. "held out" topics occur in
# documents but, of the tasks, only in MNLI's mismatched validation set.
TOPICS = {
    "home": ("relative child neighbour woman", "furniture garment dessert document", "dog cat",
             "room garden park"),
    "town": ("official lawyer worker man", "vehicle document garment container", "dog",
             "building bakery pharmacy park"),
    "stage": ("artist woman driver", "instrument garment jewel", "bird",
              "theatre museum hotel church"),
    "crime": ("criminal official soldier", "jewel vehicle container document", "dog rodent",
              "station harbour hotel cellar office"),
    "farm": ("farmer gardener butcher cook child", "vegetable fruit tool truck",
             "horse goat sheep pig bird", "land"),
    "sea": ("sailor pirate smuggler swimmer", "boat container map sausage", "fish parrot",
            "shore valley"),
    "science": ("scientist student teacher", "book tool desk letter", "rodent",
                "library school museum office"),
    "sport": ("athlete medic aunt uncle", "bicycle food garment", "horse terrier",
              "hospital park hotel meadow"),
}  # fmt: skip
HELD_OUT_TOPICS = ("sea", "science", "sport")


@dataclass(frozen=True)
class Noun:
    """A noun concept: ``names`` are its interchangeable words, ``kinds`` everything it is."""

    key: str
    names: tuple[str, ...]
    parent: str  # the next more general noun, "" at a root
    kinds: frozenset[str]  # itself, its ancestors, and the broad class (person, object, place...)


@dataclass(frozen=True)
class Verb:
    """A verb concept with its frame; see the table above for the relations."""

    key: str
    names: tuple[str, ...]
    frame: str
    agent: str
    theme: str = ""
    recipient: str = ""
    isa: str = ""
    opp: str = ""
    conv: str = ""
    result: str = ""
    holds: str = ""


@dataclass(frozen=True)
class Adjective:
    """An adjective concept of one attribute: ``opposite`` excludes it."""

    key: str
    names: tuple[str, ...]
    opposite: str
    of: frozenset[str]  # noun kinds it can be said of


@dataclass(frozen=True)
class Judgement:
    """A set of synonymous evaluative words; ``polarity`` is +1 or -1."""

    names: tuple[str, ...]
    polarity: int
    pos: str  # ADJ, NOUN or VERB


def _lines(table: str) -> list[str]:
    return [line.strip() for line in table.strip().splitlines()]


def _read_nouns() -> dict[str, Noun]:
    parents, names = {}, {}
    for line in _lines(_NOUNS):
        kind, members = line.split(":")
        for entry in [kind, *members.split()]:
            key, *synonyms = entry.split("=")
            names[key] = names.get(key) or (key, *synonyms)
            if entry != kind:
                parents[key] = kind.split("=")[0]
    return {k: Noun(k, names[k], parents.get(k, ""), _kinds(k, parents)) for k in names}


def _kinds(key: str, parents: dict[str, str]) -> frozenset[str]:
    chain = [key]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    root = _ROOTS[chain[-1]]
    return frozenset([*chain, root, *(["object"] if root == "artefact" else [])])


def _read_verbs() -> dict[str, Verb]:
    verbs = {}
    for line in _lines(_VERBS):
        first, frame, *rest = [part.strip() for part in line.split("|")]
        relations = dict(r.split("=") for r in rest.pop().split()) if "=" in rest[-1] else {}
        names = tuple(first.split("="))
        verbs[names[0]] = Verb(names[0], names, frame, *rest, **relations)
    for line in _lines(_CONVERSES):
        first, frame, base = [part.strip() for part in line.split("|")]
        names = tuple(first.split("="))
        told = verbs[base]
        verbs[names[0]] = Verb(names[0], names, frame, told.agent, told.theme, told.recipient)
    return verbs


def _read_adjectives() -> list[Adjective]:
    out = []
    for line in _lines(_ADJECTIVES):
        pair, of = line.split(":")
        left, right = (tuple(side.strip().split("=")) for side in pair.split("/"))
        kinds = frozenset(of.split())
        out += [Adjective(left[0], left, right[0], kinds),
                Adjective(right[0], right, left[0], kinds)]  # fmt: skip
    return out


def _read_judgements() -> tuple[Judgement, ...]:
    tables = [(_POSITIVE, 1, "ADJ"), (_NEGATIVE, -1, "ADJ"), (_POSITIVE_NOUNS, 1, "NOUN"),
              (_NEGATIVE_NOUNS, -1, "NOUN"), (_POSITIVE_VERBS, 1, "VERB"),
              (_NEGATIVE_VERBS, -1, "VERB")]  # fmt: skip
    return tuple(
        Judgement(tuple(group.split()), polarity, pos)
        for table, polarity, pos in tables
        for group in table.strip().replace("\n", " / ").split("/")
    )


NOUNS: dict[str, Noun] = _read_nouns()
VERBS: dict[str, Verb] = _read_verbs()
ADJECTIVES: list[Adjective] = _read_adjectives()
JUDGEMENTS: tuple[Judgement, ...] = _read_judgements()
ELEMENTS = {k: tuple(v.split()) for k, v in (line.split(":") for line in _lines(_ELEMENTS))}


def elements(frame: str) -> tuple[str, str, str]:
    """The frame's element names for agent, theme and recipient."""
    given = ELEMENTS.get(frame, ())
    return given + ("Agent", "Theme", "Recipient")[len(given) :]


# --------------------------------------------------------------------------------------------
# Forms
# --------------------------------------------------------------------------------------------

_PAST = {
    base: (past_form, past_participle)
    for base, past_form, past_participle in (entry.split() for entry in _IRREGULAR_VERBS.split(","))
}
_DOUBLED = words_of("hug drag jog grab plan regret grin")


def past(verb: str) -> str:
    """Past tense of a base form: ``sell`` gives ``sold``."""
    return _PAST[verb][0] if verb in _PAST else _regular_past(verb)


def participle(verb: str) -> str:
    """Past participle of a base form: ``steal`` gives ``stolen``."""
    return _PAST[verb][1] if verb in _PAST else _regular_past(verb)


def _regular_past(verb: str) -> str:
    if verb in _DOUBLED:
        return verb + verb[-1] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def plural(noun: str) -> str:
    """Plural of a noun: ``mouse`` gives ``mice``."""
    if noun in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh", "to")):
        return noun + "es"
    return noun + "s"


def article(word: str) -> str:
    """The indefinite article before ``word``: ``an`` before a vowel sound."""
    sounds_vowel = word[0].lower() in "aeiou" and not word.startswith(("uni", "use", "one"))
    return "an" if sounds_vowel or word.startswith("honest") else "a"


def gender(noun: str) -> str:
    """``m``, ``f`` or ``""`` (either) for a person's noun or name."""
    return NAMES.get(noun) or _GENDERS.get(noun, "")


def preposition(place: str) -> str:
    """The preposition of a place: in, at or on."""
    return "on" if place in _ON_PLACES else "at" if place in _AT_PLACES else "in"


# --------------------------------------------------------------------------------------------
# Relations
# --------------------------------------------------------------------------------------------


def is_kind(noun: str, kinds: str) -> bool:
    """Whether a noun concept is one of the comma-separated ``kinds`` (``any`` fits all)."""
    return kinds == "any" or not NOUNS[noun].kinds.isdisjoint(kinds.split(","))


@cache
def hyponyms(kind: str) -> tuple[str, ...]:
    """All noun concepts of a kind, itself included when it is a noun."""
    return tuple(n.key for n in NOUNS.values() if kind in n.kinds)


@cache
def sisters(noun: str) -> tuple[str, ...]:
    """Concepts with the same parent that cannot be the same thing."""
    parent = NOUNS[noun].parent
    return tuple(n.key for n in NOUNS.values() if n.parent == parent and n.key != noun)


@cache
def adjectives_of(noun: str) -> tuple[Adjective, ...]:
    """Adjectives that can be said of a noun concept."""
    return tuple(a for a in ADJECTIVES if not a.of.isdisjoint(NOUNS[noun].kinds))


def lexemes() -> set[tuple[str, str]]:
    """Every content lexeme as (lemma, part of speech)."""
    found = {(n, "NOUN") for noun in NOUNS.values() for n in noun.names}
    found |= {(n, "VERB") for verb in VERBS.values() for n in verb.names}
    found |= {(n, "ADJ") for a in ADJECTIVES for n in a.names}
    found |= {(n, j.pos) for j in JUDGEMENTS for n in j.names}
    found |= {(n, "ADV") for a, (syn, _) in MANNERS.items() for n in (a, *syn)}
    found |= {(n, "ADV") for n in (*INTENSIFIERS, *DOUBTS)}
    return found | {(n, "PROPN") for n in (*NAMES, *CITIES)}
