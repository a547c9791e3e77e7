// The worked example of contract.md is believed, and nothing that was changed in it.

package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

const exampleBody = `{"order":"4711","sku":"tea","quantity":2}`

var example = map[string]string{
	"Wholly-Audience":  "stock",
	"Wholly-Gid":       "order-4711",
	"Wholly-Branch":    "stock",
	"Wholly-Operation": "stock.lock",
	"Wholly-Op":        "try",
	"Wholly-Mark":      "origin=a1;begun=17;limit=3",
	"Wholly-Body":      "envelope",
	"Content-Digest":   "sha-256=:FVRZi5HN/5HRrZXM1nazx0A64SGz1sVeuXsrkKiKO5k=:",
	"Signature-Input": `wholly=("@method" "@path" "wholly-audience" "wholly-gid" "wholly-branch"` +
		` "wholly-operation" "wholly-op" "wholly-mark" "content-digest" "wholly-body")` +
		`;created=1700000000;expires=1700000065;keyid="stock";alg="hmac-sha256"`,
	"Signature": "wholly=:Bdls5+TuvpLglSo1yV0ILMU6ZNFWhaxKlnT0tqmgJ6w=:",
}

// try believes the example after a change, at a time.
func try(own credential, body string, at int64, change func(*http.Request)) error {
	request := &http.Request{Method: "POST", URL: &url.URL{Path: "/wholly/stock.lock"},
		Header: http.Header{}}
	for name, text := range example {
		request.Header.Set(name, text)
	}
	change(request)
	return own.believe(request, []byte(body), time.Unix(at, 0))
}

func TestOnlyTheExampleIsBelieved(t *testing.T) {
	own := credential{"stock", []string{"0123456789abcdef0123456789abcdef"}}
	same := func(*http.Request) {}
	const now = 1700000010
	if err := try(own, exampleBody, now, same); err != nil {
		t.Fatal(err)
	}
	changing := credential{"stock", []string{"fedcba9876543210fedcba9876543210", own.secrets[0]}}
	if err := try(changing, exampleBody, now, same); err != nil {
		t.Fatal(err)
	}
	refused := map[string]error{
		"another body":       try(own, "{}", now, same),
		"expired":            try(own, exampleBody, 1700000126, same),
		"of the future":      try(own, exampleBody, 1699999939, same),
		"another credential": try(credential{"points", own.secrets}, exampleBody, now, same),
		"another secret":     try(credential{"stock", changing.secrets[:1]}, exampleBody, now, same),
		"no secret":          try(credential{"stock", nil}, exampleBody, now, same),
		"another method": try(own, exampleBody, now, func(r *http.Request) {
			r.Method = "PUT"
		}),
		"another path": try(own, exampleBody, now, func(r *http.Request) {
			r.URL.Path = "/wholly/stock.free"
		}),
	}
	for name := range example {
		refused["without "+name] = try(own, exampleBody, now, func(r *http.Request) {
			r.Header.Del(name)
		})
		refused["other "+name] = try(own, exampleBody, now, func(r *http.Request) {
			r.Header.Set(name, "other")
		})
		refused["twice "+name] = try(own, exampleBody, now, func(r *http.Request) {
			r.Header.Add(name, example[name])
		})
	}
	for what, err := range refused {
		if err == nil {
			t.Errorf("believed: %s", what)
		}
	}
}
