"""Writes the folders beside it: tiny published models with random weights, and what PyTorch makes of them, one example at a time in f64.

`pip install torch transformers safetensors`, then `python make.py`; `python make.py RUN TEXTS` instead prints, as `secateur predict` does,
what the `transformers` library says of the lines of TEXTS with the model in RUN/published, to be compared by hand.
"""

import csv
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

HERE, LENGTH, PAD, END, START = pathlib.Path(__file__).parent, 12, 0, 1, 2
TEXTS, LABELS = ["a cat", "dogs, two", "much longer than twelve", "\u00fc"], [0, 2, 1, 0]
NAMES = {0: "no", 1: "maybe", 2: "yes"}
SIZES = {"vocab_size": 259, "pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
GPT2 = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16, **SIZES}
BERT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, **SIZES}
DISTIL = {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 16, **SIZES}
HEAD = {"id2label": NAMES, "label2id": {name: k for k, name in NAMES.items()}}
CASES = {
    "gpt2-writes": ("GPT2LMHeadModel", transformers.GPT2Config(**GPT2)),
    "gpt2": ("GPT2ForSequenceClassification", transformers.GPT2Config(**GPT2, **HEAD)),
    "bert": ("BertForSequenceClassification", transformers.BertConfig(**BERT, max_position_embeddings=16, **HEAD)),
    "roberta": (
        "RobertaForSequenceClassification",
        transformers.RobertaConfig(**BERT, max_position_embeddings=17, type_vocab_size=1, layer_norm_eps=1e-5, **HEAD),
    ),
    "distilbert": ("DistilBertForSequenceClassification", transformers.DistilBertConfig(**DISTIL, **HEAD)),
}


def ids(text):
    """The tokenizer `bytes`."""
    return [byte + 3 for byte in text.encode()]


def padded(tokens):
    tokens = tokens[:LENGTH]
    return torch.tensor([tokens + [PAD] * (LENGTH - len(tokens))])


def logits_of(model, tokens):
    tokens = padded(tokens)
    return model(input_ids=tokens, attention_mask=(tokens != PAD).long()).logits


def written(model, text):
    """The loss of each next token, and what is predicted at each."""
    asked = (ids(text) + [END])[:LENGTH]
    logits = model(input_ids=torch.tensor([([START] + ids(text))[:LENGTH]])).logits[0]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(asked)), logits.sum(0)


def classified(model, text, label):
    logits = logits_of(model, ids(text))[0]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(label)), logits


def make(name, kind, config):
    torch.manual_seed(len(name))
    model = getattr(transformers, kind)(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter + 0.3 * torch.randn_like(parameter)).copy_(parameter.float())
    sums = {k: torch.zeros_like(p) for k, p in model.named_parameters()}
    said = {"texts": TEXTS, "labels": LABELS, "losses": [], "logits": [], "norms": []}
    for text, label in zip(TEXTS, LABELS):
        loss, logits = written(model, text) if name.endswith("writes") else classified(model, text, label)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for total, gradient in zip(sums.values(), gradients):
            total += gradient
        said["losses"].append(loss.item())
        said["logits"].append(logits.tolist())
        said["norms"].append(sum((g**2).sum() for g in gradients).sqrt().item())
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model.float().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({k: g.float().contiguous() for k, g in sums.items()}, folder / "gradients.safetensors")
    numbers = json.loads(json.dumps(said), parse_float=lambda x: round(float(x), 7))
    (folder / "expected.json").write_text(json.dumps(numbers, separators=(",", ":")) + "\n")


def predict(run, texts):
    folder = pathlib.Path(run) / "published"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = csv.DictReader(open(texts))
    names = [model.config.id2label[k] for k in range(model.config.num_labels)]
    print(",".join(["prediction", *("probability of " + name for name in names)]))
    for row in rows:
        p = logits_of(model, ids(row["text"]))[0].softmax(-1).tolist()
        print(",".join([names[p.index(max(p))], *map(str, p)]))


if len(sys.argv) > 1:
    predict(*sys.argv[1:])
else:
    for name, (kind, config) in CASES.items():
        make(name, kind, config)
