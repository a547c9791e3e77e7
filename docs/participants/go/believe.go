// Whether a call was signed by the coordinator: RFC 9421 with hmac-sha256, in Go's standard library.

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var covered = []string{"@method", "@path", "wholly-audience", "wholly-gid", "wholly-branch",
	"wholly-operation", "wholly-op", "wholly-mark", "content-digest"}

// skewSeconds is how far the two clocks may differ.
const skewSeconds = 60

var (
	inputForm     = regexp.MustCompile(`^wholly=(\(("[a-z0-9@_-]+"(?: "[a-z0-9@_-]+")*)\);(.*))$`)
	signatureForm = regexp.MustCompile(`^wholly=:([A-Za-z0-9+/=]+):$`)
)

// credential is the service's name and its secrets: one, or two while it is changed.
type credential struct {
	id      string
	secrets []string
}

// believe says why a call is not to be believed: then answer 401, without wholly-answer.
func (own credential) believe(request *http.Request, body []byte, now time.Time) error {
	value := func(name string) (string, error) {
		switch name {
		case "@method":
			return request.Method, nil
		case "@path":
			return request.URL.EscapedPath(), nil
		}
		values := request.Header.Values(name)
		if len(values) != 1 {
			return "", fmt.Errorf("%s is not there exactly once", name)
		}
		return strings.TrimSpace(values[0]), nil
	}
	input, errInput := value("signature-input")
	shown, errShown := value("signature")
	if err := errors.Join(errInput, errShown); err != nil {
		return err
	}
	described, signature := inputForm.FindStringSubmatch(input), signatureForm.FindStringSubmatch(shown)
	if described == nil || signature == nil {
		return errors.New("the signature is none of ours")
	}
	components, said := read9421(described[2], described[3])
	must := covered
	if len(request.Header.Values("wholly-body")) > 0 {
		must = append(slices.Clone(covered), "wholly-body")
	}
	var base strings.Builder
	seen := map[string]bool{}
	for _, name := range components {
		text, err := value(name)
		if err != nil || seen[name] {
			return fmt.Errorf("%s is not there, or covered twice", name)
		}
		seen[name] = true
		fmt.Fprintf(&base, "%q: %s\n", name, text)
	}
	for _, name := range must {
		if !seen[name] {
			return fmt.Errorf("the signature does not cover %s", name)
		}
	}
	base.WriteString(`"@signature-params": ` + described[1])
	if said["keyid"] != strconv.Quote(own.id) || said["alg"] != `"hmac-sha256"` {
		return errors.New("the signature is for another credential, or of another kind")
	}
	if !own.made(signature[1], base.String()) {
		return errors.New("no secret of ours has made the signature, or what it covers was changed")
	}
	created, errCreated := strconv.ParseInt(said["created"], 10, 64)
	expires, errExpires := strconv.ParseInt(said["expires"], 10, 64)
	if err := errors.Join(errCreated, errExpires); err != nil {
		return err
	}
	if now.Unix() < created-skewSeconds || expires+skewSeconds < now.Unix() {
		return errors.New("the signature has expired, or was made in the future")
	}
	// Both are covered, so they are there once.
	if audience, _ := value("wholly-audience"); audience != own.id {
		return errors.New("the call is for another service")
	}
	digest := sha256.Sum256(body)
	own256 := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":"
	if shown, _ := value("content-digest"); shown != own256 {
		return errors.New("the body is another one")
	}
	return nil
}

// read9421 reads the list of components and the parameters behind it.
func read9421(list, parameters string) ([]string, map[string]string) {
	components := strings.Split(list, " ")
	for at, name := range components {
		components[at] = strings.Trim(name, `"`)
	}
	said := map[string]string{}
	for _, part := range strings.Split(parameters, ";") {
		name, text, _ := strings.Cut(part, "=")
		said[name] = text
	}
	return components, said
}

// made says whether one of the secrets has made the signature of this base.
func (own credential) made(signature, base string) bool {
	shown, err := base64.StdEncoding.DecodeString(signature)
	is := false
	for _, secret := range own.secrets {
		key := tag([]byte(secret), "wholly-signature-1")
		is = hmac.Equal(tag(key, base), shown) || is
	}
	return is && err == nil
}

func tag(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
