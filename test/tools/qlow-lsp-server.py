# The language server knows qlow's dialect: it reports our errors, shows an op's type, offers our ops, and leaves when asked.
#
# RUN: python3 %s

import json
import subprocess

GOOD = """func.func @f(%x: tensor<2x4xf32>, %s: tensor<f32>) -> tensor<2x4x!qlow.q<i8 : f32>> {
  %q = qlow.quantize %x, %s : (tensor<2x4xf32>, tensor<f32>) -> tensor<2x4x!qlow.q<i8 : f32>>
  return %q : tensor<2x4x!qlow.q<i8 : f32>>
}
"""
URI = "test:///m.mlir"

server = subprocess.Popen(["qlow-lsp-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def send(method, params, number=None):
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    body = json.dumps(message).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    server.stdin.flush()


def receive(wanted):
    while True:
        length = 0
        while (line := server.stdout.readline().strip()):
            name, value = line.split(b":")
            length = int(value) if name == b"Content-Length" else length
        assert length, "the server left"
        message = json.loads(server.stdout.read(length))
        if wanted(message):
            return message


def ask(number, method, params):
    send(method, params, number)
    return receive(lambda message: message.get("id") == number)["result"]


def diagnostics(text, version):
    method = "textDocument/didOpen" if version == 1 else "textDocument/didChange"
    document = {"uri": URI, "version": version, "languageId": "mlir", "text": text}
    send(method, {"textDocument": document, "contentChanges": [{"text": text}]})
    found = receive(lambda message: message.get("method") == "textDocument/publishDiagnostics")
    return found["params"]["diagnostics"]


ask(0, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
send("initialized", {})

bad = diagnostics(GOOD.replace("!qlow.q<i8", "!qlow.q<q7"), 1)
assert bad[0]["message"].startswith("unknown code format 'q7'; known: i2 i3"), bad
assert bad[0]["range"]["start"]["line"] == 0, bad

assert diagnostics(GOOD, 2) == []
hover = ask(1, "textDocument/hover", {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 10}})
assert "qlow.quantize" in hover["contents"]["value"], hover
offers = ask(2, "textDocument/completion", {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 2}})
labels = [item["label"] for item in offers["items"]]
assert "qlow" in labels, labels
ask(3, "shutdown", None)
send("exit", None)
assert server.wait(timeout=20) == 0
