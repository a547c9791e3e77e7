// Whether a call was signed by the coordinator: RFC 9421 with hmac-sha256, in the JDK.
//
//     java Believe.java          checks the worked example of contract.md

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** A credential: the service's name and its secrets, one, or two while it is changed. */
record Believe(String id, List<String> secrets) {
    static final List<String> COVERED = List.of("@method", "@path", "wholly-audience", "wholly-gid",
        "wholly-branch", "wholly-operation", "wholly-op", "wholly-mark", "content-digest");
    /** Seconds that the two clocks may differ. */
    static final long SKEW = 60;
    static final Pattern INPUT =
        Pattern.compile("wholly=(\\((\"[a-z0-9@_-]+\"(?: \"[a-z0-9@_-]+\")*)\\);(.*))");
    static final Pattern SIGNATURE = Pattern.compile("wholly=:([A-Za-z0-9+/=]+):");

    /** Answer 401, without wholly-answer: nothing is known, and a good call comes again. */
    @SuppressWarnings("serial")
    static final class Forged extends Exception {
        Forged(String why) {
            super(why);
        }
    }

    /** A call as it came; names of headers are compared as HTTP does, by the map that holds them. */
    record Message(String method, String path, Map<String, List<String>> headers, byte[] body) {
        String value(String name) throws Forged {
            switch (name) {
                case "@method":
                    return method;
                case "@path":
                    return path;
                default:
                    List<String> values = headers.get(name);
                    if (values == null || values.size() != 1) {
                        throw new Forged(name + " is not there exactly once");
                    }
                    return values.get(0).strip();
            }
        }
    }

    /** Throws unless the call was signed for this service a short while ago. */
    void check(Message call, long now) throws Forged, GeneralSecurityException {
        Matcher described = INPUT.matcher(call.value("signature-input"));
        Matcher signature = SIGNATURE.matcher(call.value("signature"));
        must(described.matches() && signature.matches(), "the signature is none of ours");
        List<String> components = new ArrayList<>();
        for (String name : described.group(2).split(" ")) {
            components.add(name.substring(1, name.length() - 1));
        }
        Map<String, String> said = new HashMap<>();
        for (String part : described.group(3).split(";")) {
            String[] both = part.split("=", 2);
            said.put(both[0], both[both.length - 1]);
        }
        Set<String> seen = new HashSet<>(components);
        must(seen.containsAll(COVERED) && seen.size() == components.size()
            && (call.headers.get("wholly-body") == null || seen.contains("wholly-body")),
            "the signature does not cover everything, or something twice");
        must(("\"" + id + "\"").equals(said.get("keyid"))
            && "\"hmac-sha256\"".equals(said.get("alg")),
            "the signature is for another credential, or of another kind");
        StringBuilder base = new StringBuilder();
        for (String name : components) {
            base.append('"').append(name).append("\": ").append(call.value(name)).append('\n');
        }
        base.append("\"@signature-params\": ").append(described.group(1));
        must(made(signature.group(1), base.toString()),
            "no secret of ours has made the signature, or what it covers was changed");
        must(number(said.get("created")) - SKEW <= now && now <= number(said.get("expires")) + SKEW,
            "the signature has expired, or was made in the future");
        must(call.value("wholly-audience").equals(id), "the call is for another service");
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(call.body);
        String shown = "sha-256=:" + Base64.getEncoder().encodeToString(digest) + ":";
        must(call.value("content-digest").equals(shown), "the body is another one");
    }

    private boolean made(String signature, String base) throws GeneralSecurityException {
        byte[] shown;
        try {
            shown = Base64.getDecoder().decode(signature);
        } catch (IllegalArgumentException notBase64) {
            return false;
        }
        boolean is = false;
        for (String secret : secrets) {
            byte[] key = tag(secret.getBytes(StandardCharsets.UTF_8), "wholly-signature-1");
            is |= MessageDigest.isEqual(tag(key, base), shown);
        }
        return is;
    }

    private static byte[] tag(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static long number(String text) throws Forged {
        must(text != null && text.matches("[0-9]{1,15}"), "the signature says no time");
        return Long.parseLong(text);
    }

    private static void must(boolean is, String otherwise) throws Forged {
        if (!is) {
            throw new Forged(otherwise);
        }
    }

    // The worked example.

    static final Map<String, List<String>> EXAMPLE = Map.of(
        "wholly-audience", List.of("stock"),
        "wholly-gid", List.of("order-4711"),
        "wholly-branch", List.of("stock"),
        "wholly-operation", List.of("stock.lock"),
        "wholly-op", List.of("try"),
        "wholly-mark", List.of("origin=a1;begun=17;limit=3"),
        "wholly-body", List.of("envelope"),
        "content-digest", List.of("sha-256=:FVRZi5HN/5HRrZXM1nazx0A64SGz1sVeuXsrkKiKO5k=:"),
        "signature-input", List.of("wholly=(\"@method\" \"@path\" \"wholly-audience\" \"wholly-gid\""
            + " \"wholly-branch\" \"wholly-operation\" \"wholly-op\" \"wholly-mark\""
            + " \"content-digest\" \"wholly-body\");created=1700000000;expires=1700000065"
            + ";keyid=\"stock\";alg=\"hmac-sha256\""),
        "signature", List.of("wholly=:Bdls5+TuvpLglSo1yV0ILMU6ZNFWhaxKlnT0tqmgJ6w=:"));

    private boolean believes(Message call, long now) throws GeneralSecurityException {
        try {
            check(call, now);
            return true;
        } catch (Forged why) {
            return false;
        }
    }

    private static void expect(boolean is, String what) {
        if (!is) {
            throw new AssertionError(what);
        }
    }

    public static void main(String[] arguments) throws GeneralSecurityException {
        String secret = "0123456789abcdef0123456789abcdef";
        String other = "fedcba9876543210fedcba9876543210";
        String body = "{\"order\":\"4711\",\"sku\":\"tea\",\"quantity\":2}";
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        long now = 1700000010;
        String path = "/wholly/stock.lock";
        Message call = new Message("POST", path, EXAMPLE, bytes);
        Believe own = new Believe("stock", List.of(secret));
        expect(own.believes(call, now), "not believed");
        expect(new Believe("stock", List.of(other, secret)).believes(call, now), "not while changed");
        expect(!new Believe("stock", List.of(other)).believes(call, now), "another secret");
        expect(!new Believe("stock", List.of()).believes(call, now), "no secret");
        expect(!new Believe("points", List.of(secret)).believes(call, now), "another credential");
        expect(!own.believes(call, 1700000126), "expired");
        expect(!own.believes(call, 1699999939), "of the future");
        expect(!own.believes(new Message("PUT", path, EXAMPLE, bytes), now), "another method");
        Message elsewhere = new Message("POST", "/wholly/stock.free", EXAMPLE, bytes);
        expect(!own.believes(elsewhere, now), "another path");
        expect(!own.believes(new Message("POST", path, EXAMPLE, new byte[2]), now), "another body");
        for (String name : EXAMPLE.keySet()) {
            String text = EXAMPLE.get(name).get(0);
            for (List<String> values : List.<List<String>>of(
                    List.of(), List.of("other"), List.of(text, text))) {
                Map<String, List<String>> headers = new HashMap<>(EXAMPLE);
                headers.put(name, values);
                Message changed = new Message("POST", path, headers, bytes);
                expect(!own.believes(changed, now), name + " " + values);
            }
        }
        System.out.println("the example is believed, and nothing that was changed in it");
    }
}
