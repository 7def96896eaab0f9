"""Two small tokenizers from a public sentence, and the ids that Python's `tokenizers` (0.23.3) gives: the numbers in ../tests.rs.

python make.py
"""
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "it's the end of the mat"]
TEXTS = ["the cat sat", "a log on the dog", "it's  the end", "zebra"]

bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=48, special_tokens=["<|endoftext|>"], show_progress=False))
bpe.save("bpe.json", pretty=False)

words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
words.normalizer = normalizers.BertNormalizer()
words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
words.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=56, special_tokens=special, show_progress=False))
words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
words.enable_padding(pad_id=0, pad_token="[PAD]", length=9)  # to be left aside: examples have a length of their own
words.save("words.json", pretty=False)

bpe_ids = [(t, bpe.encode(t, add_special_tokens=False)) for t in TEXTS]
print("bpe", bpe.get_vocab_size(), [(t, e.ids, [o[1] for o in e.offsets]) for t, e in bpe_ids])
words.no_padding()
print("words", words.get_vocab_size(), [(t, words.encode(t).ids) for t in TEXTS])
words.enable_truncation(5)
print("cut to 5", [(t, words.encode(t).ids) for t in TEXTS[:2]])
