#!/usr/bin/env python3
"""Writes tests/data/tokenizer/*.json: small vocabularies and what Hugging Face `tokenizers` and Google `sentencepiece`
make of a nasty corpus with them. The regexes below are the published ones, as the models' tokenizer.json has them; the
C++ table says the same in PCRE2's terms, and the vectors hold the two against each other.

    python tools/make_tokenizer_vectors.py [--smollm tokenizer.json] [--out tests/data/tokenizer]

Needs: pip install tokenizers sentencepiece. Made with tokenizers 0.23.3, sentencepiece 0.2.3.
"""

import argparse
import io
import json
import pathlib
import random

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)
HAN_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
HAN_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
DEEPSEEK_V3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
               r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES)
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗ"
    "\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d"
    "\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    "\ufb00-\ufb06\ufb13-\ufb17Ａ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+")
DEEPSEEK_PUNCTUATION = r"\s?[!-/:-~！-／：-～‘-‟　-。]+"
DEEPSEEK_CJK = "[一-龥ࠀ-一가-\ud7ff]+"

# One name of each family in src/text/pretokenizer_table.cc: its steps.
FAMILIES = {
    "gpt-2": [GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "llama-bpe": [LLAMA3],
    "qwen2": [QWEN2],
    "qwen35": [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES],
    "minicpm5": [r"\p{N}{1,3}", CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES],
    "seed-coder": [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + SPACES],
    "jais-2": [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
               r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)"
               r"|\s{1,2}(?!\S)|\s{1}"],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                   r"|\s+(?!\S)|\s+"],
    "exaone-moe": [CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                   r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"],
    "gpt-4o": [GPT4O],
    "tekken": [GPT4O.replace(CONTRACTIONS + "?", "").replace(r"\p{N}{1,3}", r"\p{N}")],
    "kimi-k2": [r"[\p{Han}]+|" + rf"[^\r\n\p{{L}}\p{{N}}]?{HAN_UPPER}*{HAN_LOWER}+{CONTRACTIONS}?"
                rf"|[^\r\n\p{{L}}\p{{N}}]?{HAN_UPPER}+{HAN_LOWER}*{CONTRACTIONS}?"
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", GPT4O.replace(r"\p{N}{1,3}", r"\p{N}")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O],
    "deepseek-llm": [r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_PUNCTUATION, r"\s+$", DEEPSEEK_CJK, r"\p{N}"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3],
    "bloom": [r" ?[^(\s|[.,!?…。，、।۔،])]+"],
    "viking": [r" ?[^(\s|[.,!?…。，、।۔،])]+", r"\p{N}"],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "laguna": [r"[^\n]+|[\n]+", QWEN2],
    "chameleon": [r"<sentinel:[0-9]+>", r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", GPT2],
}

NASTY = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t\n", " \n ", "a", " a", "  a", "a ", "a  ", "a\n\n  b",
    "Hello, world!", " Hello  World ", "I've 'told HE'LL they'RE we'D y'all'S 'tis ''s 'S", "it'\u017f it\u2019s K\u212am'\u017f",
    "camelCase HTTPServer XMLHttpRequest iPhone ABCdef aBC \u01c5ungla \u01c4 \u01c8x", "1", "12", "123", "1234", "12345 1234567",
    "3.14159 1,234,567.89 1234abc 12_345 v1.2.3 0x1F", "\u0661\u0662\u0663\u0664\u0665 \u0967\u0968\u0969\u096a \u00bd\u00b2\u2163 \uff11\uff12\uff13\uff14",
    "½1234½ ²345", "\U0001f600\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1fa\U0001f1f8 \u2764\ufe0f",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u061f \u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f\u060c",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964 \u0995\u09cd\u09b7", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca \uc548\ub155\ud558\uc138\uc694 abc\u4e2d\u6587def \u4e2d1234\u6587",
    "\u3105\u3106 \u2026\u2026\u201c\u5f15\u7528\u201d\u2014\u2014\u300a\u4e66\u300b", "cafe\u0301 caf\u00e9 A\u030angstro\u0308m \u1e9b\u0323 \u1100\u1161\u11a8 \uac01",
    "\u00a0a\u00a0 b\u3000c\u3000\u3000d", "\u0085x \u2028y\u2029z \u180ew \u200bq \ufeffr \u1680s", "\x00\x01\x1b[0m\x7f\x1c\x1f \x0b\x0c",
    "\t\tif (x) {\n\t\t\treturn y;  // \u2192 z\r\n\t}\r\n", "a/b//c/\n/d http://x.y/z?q=1&r=%20#f", "!!!???...,,,;;;:::--==++**//\\\\||",
    "$100 + \u20ac200 = <3> ^~` |x| \u2211\u00b1\u221e \u2460", "_under_score __init__ a_b-c.d@e.f #tag", "    four\n        eight\n  two\n",
    "trailing   \n   ", "\n\n\n \n\n", "x" * 40, " " * 70 + "x", "\n" * 20, "Stra\u00dfe \u00dcBER na\u00efve \u0130stanbul \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u041f\u0440\u0438\u0432\u0435\u0442",
    "<sentinel:12> IMGIMGABCZ IMGIMGJZ", "a\u0300\u0301b \u0301 \u0301x 1\u0301", "\ue000 \U0010ffff", "don't\u2019ve o'clock rock'n'roll",
]


def corpus():
    """The texts: the list above and random mixtures of its characters."""
    rng = random.Random(20)
    letters = sorted(set("".join(NASTY)))
    texts = list(NASTY)
    for _ in range(90):
        texts.append("".join(rng.choice(letters) for _ in range(rng.randint(2, 24))))
    for _ in range(30):  # much white space, digits and quotes
        texts.append("".join(rng.choice(" \t\n\r'sStRe1aA.\u00a0\u4e2d/") for _ in range(rng.randint(5, 40))))
    return texts


def training_text():
    rng = random.Random(5)
    words = ("the a ship river light stone bird small runs sleeps under over quickly 12 345 2024 don't it's \u00fcber caf\u00e9 "
             "\u4f60\u597d \u4e16\u754c \u041f\u0440\u0438\u0432\u0435\u0442 \u0645\u0631\u062d\u0628\u0627 \U0001f600 print(x) return -- ... HTTPServer camelCase").split()
    lines = [" ".join(rng.choice(words) for _ in range(rng.randint(3, 12))) + rng.choice([".", "!", "?\n", "  ", "\n\n"])
             for _ in range(600)]
    return lines + NASTY * 4


def split_pre_tokenizer(steps):
    return [pre_tokenizers.Split(Regex(step), "isolated") for step in steps]


def lengths(steps, text):
    """The words of text as lengths in bytes."""
    words = pre_tokenizers.Sequence(split_pre_tokenizer(steps)).pre_tokenize_str(text)
    return [len(word.encode()) for word, _ in words if word]


def byte_bpe(texts):
    # Trained without any splitting, so that merges span words: where the text is cut then shows in the ids.
    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    base.train_from_iterator(training_text(), trainers.BpeTrainer(
        vocab_size=900, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=24))
    model = json.loads(base.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    control, user = ["<|im_start|>", "<|im_end|>", "<|im_end|>x"], ["<tool>", "  \t", "\u4f60\u597d\uff0c"]
    added_texts = ["<|im_start|>user\nHi<|im_end|>\n", "<|im_end|>x<|im_end|>", "a<tool>b <tool", "<<|im_end|>>", "x  \ty   \t",
                   "say \u4f60\u597d\uff0c\u4e16\u754c<|im_start|><|im_start|>"]
    cases = {}
    for pre, ignore_merges, nfc in [("gpt-2", False, False), ("llama-bpe", True, False), ("qwen2", False, True),
                                    ("gpt-4o", False, False), ("tekken", True, False), ("deepseek-v3", False, False),
                                    ("default", False, False), ("superbpe", False, False)]:
        tokenizer = Tokenizer(models.BPE(model["vocab"], [tuple(m.split(" ")) for m in merges],
                                         ignore_merges=ignore_merges))
        if nfc:
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            split_pre_tokenizer(FAMILIES[pre]) + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in control])
        tokenizer.add_tokens([AddedToken(t, normalized=False) for t in user])
        rows = []
        for text in texts + added_texts:
            tokenizer.encode_special_tokens = False
            parsed = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append([parsed] if plain == parsed else [parsed, plain])
        cases[pre] = rows
    return {"tokens": tokens, "merges": merges, "control": control, "user": user, "texts": texts + added_texts,
            "ids": cases}


def sentencepiece_bpe(texts):
    texts = [t for t in texts if "\x00" not in t and "\u2581" not in t]
    sets = []
    for prefix in (True, False):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(t.replace("\n", " ") for t in training_text() if t.strip() and "\x00" not in t),
            model_writer=out, model_type="bpe", vocab_size=900, byte_fallback=True, character_coverage=0.98,
            normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
            allow_whitespace_only_pieces=True, split_digits=True, user_defined_symbols=["<tool>", "[x]"],
            minloglevel=2, max_sentence_length=100000)
        sp = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        kinds = [3 if sp.is_control(i) else 2 if sp.is_unknown(i) else 6 if sp.is_byte(i) else 4 if
                 sp.id_to_piece(i) in ("<tool>", "[x]") else 1 for i in range(len(sp))]
        # Ours puts the prefix after every added token, sentencepiece does not: user-defined ones are left out with it.
        used = texts + ([] if prefix else ["a<tool>b [x]<tool>", "<tool", "[x]"]) + ["<s>", "</s> a", "<0x41>", "<unk>"]
        sets.append({"add_space_prefix": prefix, "tokens": [sp.id_to_piece(i) for i in range(len(sp))],
                     "scores": [sp.get_score(i) for i in range(len(sp))], "types": kinds, "texts": used,
                     "ids": [sp.encode(t) for t in used], "decoded": [sp.decode(sp.encode(t)) for t in used]})
    return sets


def wordpiece(texts):
    sets = []
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(training_text(), trainers.WordPieceTrainer(
        vocab_size=700, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokens = [t if t in special else t[2:] if t.startswith("##") else "\u2581" + t for t in sorted(vocab, key=vocab.get)]
    texts = texts + ["y" * 101, "the" * 33 + "a", "the" * 33 + "ab", "unaffable the-river"]
    for lowercase, accents in [(True, True), (False, False), (True, False)]:
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=accents)
        sets.append({"lowercase": lowercase, "strip_accents": accents,
                     "ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]})
    return {"tokens": tokens, "texts": texts, "sets": sets}


def smollm(path, texts):
    tokenizer = Tokenizer.from_file(path)
    lines = texts + training_text()[:40]
    return {"texts": lines, "ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in lines],
            "decoded": [tokenizer.decode(tokenizer.encode(t, add_special_tokens=False).ids, skip_special_tokens=False)
                        for t in lines]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smollm", help="the tokenizer.json of SmolLM, for whole-vocabulary vectors")
    parser.add_argument("--out", default="tests/data/tokenizer", type=pathlib.Path)
    options = parser.parse_args()
    texts = corpus()
    families = {name: [lengths(steps, text) for text in texts] for name, steps in FAMILIES.items()}
    data = {"pretokenizer": {"texts": texts, "families": families}, "bpe": byte_bpe(texts), "spm": sentencepiece_bpe(texts),
            "wordpiece": wordpiece(texts)}
    if options.smollm:
        data["smollm"] = smollm(options.smollm, texts)
    for name, content in data.items():
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
