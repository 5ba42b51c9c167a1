"""What the public coco-caption tool makes of sentences: python tokens.py SENTENCES.txt OUT.json, a sentence a line
(pip install pycocoevalcap; needs Java). Then: ENGINE_TOKENS=OUT.json cargo test --release -p engine --test scores"""

import json
import sys

from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

with open(sys.argv[1], encoding="utf-8") as lines:
    sentences = [line.rstrip("\n") for line in lines if line.strip()]
captions = {str(at): [{"caption": sentence}] for at, sentence in enumerate(sentences)}
tokens = PTBTokenizer().tokenize(captions)
with open(sys.argv[2], "w", encoding="utf-8") as out:
    json.dump([[sentence, tokens[str(at)][0]] for at, sentence in enumerate(sentences)], out)
