"""A second route from text to meaning: it knows the lexicon's tables, but nothing of the grammar
that wrote the sentences, nor of the meanings they came from."""

from bertstudy.synthetic import lexicon


def names_to_key(table):
    return {name: item.key for item in table for name in item.names}


class Reader:
    """Reads a sentence of the synthetic world back into what happened."""

    def __init__(self):
        self.nouns = names_to_key(lexicon.NOUNS.values())
        self.nouns |= {lexicon.plural(name): key for name, key in self.nouns.items()}
        self.adjectives = names_to_key(lexicon.ADJECTIVES)
        self.adverbs = {n: a for a, (syn, _) in lexicon.MANNERS.items() for n in (a, *syn)}
        self.base = names_to_key(lexicon.VERBS.values())
        self.past = {lexicon.past(n): key for n, key in self.base.items()}
        self.participle = {lexicon.participle(n): key for n, key in self.base.items()}
        self.determiners = {"the", "a", "an", "some", "several", "many", *lexicon.NUMBERS}
        self.connectives = set(lexicon.CONNECTIVES)
        self.times = {t.lower() for t in lexicon.TIMES}
        self.cities = {c.lower() for c in lexicon.CITIES}
        self.base_of = {"buy": "sell", "borrow": "lend", "receive": "give"}
        self.opposite = {a.key: a.opposite for a in lexicon.ADJECTIVES}

    def facts(self, text):
        """The events that the sentence says happened, as dictionaries; [] if it says none."""
        words = text.lower().rstrip(".").replace("n't", " not").replace(",", " ,").split()
        link = next((i for i, w in enumerate(words) if w in self.connectives), None)
        if link is not None:
            if words[link] == "or":
                return []
            cut = words.index(",", link) if link == 0 else link
            return [f for part in (words[:cut], words[cut + 1 :]) for f in
                    self.clause([w for w in part if w not in self.connectives])]  # fmt: skip
        return self.clause(words)

    def clause(self, words):
        if "who" in words:
            return [f for part in self.without_relative(words) for f in self.clause(part)]
        verb = self.find_verb(words)
        key = self.past.get(words[verb]) if verb is not None else None
        kind = lexicon.VERBS[key] if key else None
        if kind and kind.theme == "clause":
            rest = words[verb + 1 :]
            return self.clause(rest[rest[0] == "that" :]) if kind.holds == "yes" else []
        if kind and kind.theme == "plan":
            if kind.holds == "unknown":
                return []
            words = words[:verb] + ["did"] + ["not"] * (kind.holds == "no") + words[verb + 2 :]
        return [self.event(words)]

    def without_relative(self, words):
        """The clause without "who did it to her", and that as a clause of its own.

        After its verb the relative clause has a noun phrase at most.
        """
        auxiliaries = ("was", "were", "did", "not")
        who = words.index("who")
        begin = who - 1
        while begin and words[begin - 1] in self.determiners | set(self.adjectives):
            begin -= 1
        end = who + 1
        while words[end] in auxiliaries:
            end += 1
        end += 1
        if end < len(words) and words[end] not in {*auxiliaries, *self.past}:
            end += words[end] == "by"
            while words[end] in self.determiners | set(self.adjectives):
                end += 1
            end += 1
        return words[:who] + words[end:], words[begin:who] + words[who + 1 : end]

    def find_verb(self, words):
        """The first word that is a finite verb and not a noun or adjective of that spelling."""
        for i, word in enumerate(words):
            before = words[i - 1] if i else ""
            in_phrase = before in self.determiners or before in self.adjectives
            if word in self.past and not in_phrase:
                return i
        return None

    def event(self, words):
        words, event = self.take_adverbials(words)
        event["negated"] = "not" in words
        words = [w for w in words if w not in ("not", ",")]
        auxiliary = next((i for i, w in enumerate(words) if w in ("was", "were", "did")), None)
        if auxiliary is not None:
            at, left = auxiliary + 1, auxiliary
            is_passive = words[auxiliary] != "did"
            verb = (self.participle if is_passive else self.base).get(words[at])
        else:
            at = left = self.find_verb(words)
            is_passive, verb = False, self.past[words[at]]
        if verb is None:  # was broken, was clean
            return event | {"verb": "be", "theme": self.noun(words[:left]),
                            "quality": self.adjectives[words[at]]}  # fmt: skip
        parts = self.parts(words[at + 1 :])
        subject = self.noun(words[:left])
        return event | self.roles(verb, is_passive, subject, parts)

    def take_adverbials(self, words):
        """Remove places, times and manners; return the rest and what they were."""
        found, rest, i = {}, [], 0
        while i < len(words):
            phrase, size = " ".join(words[i : i + 2]), 2
            if words[i] in ("in", "on", "at") and words[i + 1] == "the":
                phrase, size = " ".join(words[i : i + 3]), 3
            if words[i] in self.adverbs:
                found["manner"], size = self.adverbs[words[i]], 1
            elif phrase in self.times:
                found["time"] = phrase
            elif words[i] in ("in", "on", "at"):
                place = words[i + size - 1]
                found["place"] = place if place in self.cities else self.nouns[place]
            else:
                rest.append(words[i])
                size = 1
            i += size
        return rest, found

    def parts(self, words):
        """Noun phrases after the verb, by preposition; "" and "2" without one."""
        found, i = {}, 0
        while i < len(words):
            marker = words[i] if words[i] in ("to", "by", "from") else ""
            i += bool(marker)
            end = i + 1
            while end < len(words) and words[end - 1] in self.determiners | set(self.adjectives):
                end += 1
            found[marker if marker or "" not in found else "2"] = self.noun(words[i:end])
            i = end
        return found

    def noun(self, words):
        """(number, adjective, noun) of a phrase; the article does not matter."""
        *front, head = words
        number = next((w for w in front if w in lexicon.NUMBERS), "")
        quality = next((self.adjectives[w] for w in front if w in self.adjectives), "")
        return (number, quality, self.nouns.get(head, head))

    def roles(self, verb, is_passive, subject, parts):
        if is_passive:
            roles = {"agent": parts.get("by"), "theme": subject, "recipient": parts.get("to")}
            if verb in self.base_of:
                roles |= {"agent": parts.get("from"), "recipient": parts.get("by")}
        elif verb in self.base_of:
            roles = {"agent": parts["from"], "theme": parts[""], "recipient": subject}
        elif "2" in parts:
            roles = {"agent": subject, "recipient": parts[""], "theme": parts["2"]}
        else:
            roles = {"agent": subject, "theme": parts.get(""), "recipient": parts.get("to")}
        return {"verb": self.base_of.get(verb, verb)} | {k: v for k, v in roles.items() if v}

    def entails(self, fact, claim):
        """Whether something that happened makes the claim true."""
        if fact["negated"] or claim["negated"]:
            return fact == claim
        if fact["verb"] == "be":
            return fact == claim
        verb = lexicon.VERBS[fact["verb"]]
        if claim["verb"] == "be":
            same = fact.get("theme") == claim["theme"]
            return same and verb.result == claim["quality"]
        if claim["verb"] == "have" and verb.result == "have":
            return (claim["agent"], claim["theme"]) == (fact["recipient"], fact["theme"])
        said = [k for k in claim if k not in ("verb", "negated")]
        return claim["verb"] in self.kinds_of_act(fact["verb"]) and all(
            self.covers(k, fact.get(k), claim[k]) for k in said
        )

    def excludes(self, fact, claim):
        """Whether the claim, taken as about what happened, cannot be true of it."""
        if fact["negated"] != claim["negated"]:
            return fact | {"negated": claim["negated"]} == claim
        one, two = lexicon.VERBS[fact["verb"]], lexicon.VERBS[claim["verb"]]
        if one.opp == two.key:
            return True
        is_same_act = one.key in self.kinds_of_act(two.key) or two.key in self.kinds_of_act(one.key)
        said = fact.keys() & claim.keys() - {"verb", "negated"}
        return is_same_act and any(self.conflict(k, fact[k], claim[k]) for k in said)

    def conflict(self, key, one, two):
        """Whether two fillers of one role cannot both be meant."""
        if key == "manner":
            return lexicon.MANNERS[one][1] == two
        if key in ("place", "time"):
            return not (one == two or self.is_kind(one, two) or self.is_kind(two, one))
        numbers, qualities, nouns = zip(one, two, strict=True)
        if not (nouns[0] == nouns[1] or self.is_kind(*nouns) or self.is_kind(*nouns[::-1])):
            return True
        if self.opposite.get(qualities[0]) == qualities[1]:
            return True
        return all(numbers) and numbers[0] != numbers[1]

    def kinds_of_act(self, verb):
        """The verb and all that doing it is a kind of."""
        found = [verb]
        while above := lexicon.VERBS[found[-1]].isa:
            found.append(above)
        return found

    def is_kind(self, noun, kind):
        if kind in ("someone", "something"):
            return True
        return noun in lexicon.NOUNS and kind in lexicon.NOUNS[noun].kinds

    def nearest(self, facts, claim):
        """The fact that agrees with the claim in most parts."""
        return max(facts, key=lambda fact: sum(fact.get(k) == v for k, v in claim.items()))

    def covers(self, key, known, claimed):
        if known is None or known == claimed:
            return known is not None
        if key == "place":
            return known in lexicon.NOUNS and claimed in lexicon.NOUNS[known].kinds
        if key in ("time", "manner"):
            return False
        number, quality, noun = claimed
        if noun in ("someone", "something"):
            return True
        kinds = lexicon.NOUNS[known[2]].kinds if known[2] in lexicon.NOUNS else {known[2]}
        is_counted = noun not in lexicon.MASS and known[0] != number
        return noun in kinds and quality in ("", known[1]) and not is_counted


READER = Reader()
