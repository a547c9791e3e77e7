// A participant by hand: a stock service for TCC and saga, in the JDK, with org.json and the JDBC driver for PostgreSQL.
//
//     mvn dependency:copy-dependencies -DoutputDirectory=lib
//     javac -cp 'lib/*' -d classes *.java
//     java -cp 'classes:lib/*' Stock 8080 'jdbc:postgresql://127.0.0.1:5432/stock?user=postgres'
//     wholly serve --dev --destination stock=http://127.0.0.1:8080
//
// With WHOLLY_ID and WHOLLY_SECRET, a credential of the coordinator's (two secrets, with a comma
// between them, while it is changed), it believes signed calls only.

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.json.JSONObject;

public final class Stock {
    static final String SCHEMA = """
        create table if not exists stock (sku text primary key,
            free bigint not null check (free >= 0),
            locked bigint not null default 0, sold bigint not null default 0);
        insert into stock (sku, free) values ('tea', 1000) on conflict do nothing;
        create table if not exists barrier (gid text, branch text, state text not null, answer text,
            origin text not null, begun bigint not null, primary key (gid, branch));
        create table if not exists barrier_limit (origin text primary key, limit_ms bigint not null);
        """;

    // The business: each runs in the local transaction that the barrier's row is written in.

    /** The business says no, for good. */
    @SuppressWarnings("serial")
    static final class Refused extends Exception {
        final JSONObject refusal;

        Refused(String code, String detail) {
            refusal = refusal(code, detail);
        }
    }

    interface Work {
        JSONObject run(Connection db, JSONObject order) throws SQLException, Refused;
    }

    /** Moves so many times the quantity into each column. */
    static Work move(long free, long locked, long sold) {
        return (db, order) -> {
            long n = order.getLong("quantity");
            String sku = order.getString("sku");
            int moved = change(db, "update stock set free = free + ?, locked = locked + ?,"
                + " sold = sold + ? where sku = ? and free + ? >= 0",
                free * n, locked * n, sold * n, sku, free * n);
            if (moved == 0) {
                throw new Refused("out_of_stock", sku + " is out of stock");
            }
            return new JSONObject().put("warehouse", 7);
        };
    }

    static final Map<String, Map<String, Work>> OPERATIONS = Map.of(
        "stock.lock", Map.of(
            "try", move(-1, 1, 0), "confirm", move(0, -1, 1), "cancel", move(1, -1, 0)),
        "stock.lock-now", Map.of(
            "action", move(-1, 0, 1), "compensate", move(1, 0, -1)));

    // The barrier.

    record Call(String gid, String branch, String operation, String op,
                String origin, long begun, long limit) {
        boolean isFirst() {
            return op.equals("try") || op.equals("action");
        }

        boolean isUndo() {
            return op.equals("cancel") || op.equals("compensate");
        }
    }

    /** How a branch stands, and what its row keeps: a reply, a refusal, or null. */
    record Row(String state, String kept) {}

    /** An answer; its body is JSON or null. */
    record Answer(String word, boolean kept, String body) {}

    static JSONObject refusal(String code, String detail) {
        return new JSONObject().put("code", code).put("detail", detail);
    }

    static Answer refuse(String code, String detail, boolean kept) {
        return new Answer("refused", kept, refusal(code, detail).toString());
    }

    /** Answers a call. Only what is remembered is committed: all else leaves no trace. */
    static Answer serve(Connection db, Call call, Work work, JSONObject payload)
            throws SQLException, Refused {
        if (!call.op.equals("inspect")) {
            raiseLimit(db, call);
        }
        Row row = look(db, call);
        if (row.state.equals("stale")) {
            return refuse("stale", "its transaction ended long ago", false);
        }
        if (call.op.equals("inspect")) {
            String reply = row.kept == null ? "" : ",\"reply\":" + row.kept;
            return new Answer("done", false, "{\"state\":\"" + row.state + "\"" + reply + "}");
        }
        if (call.isFirst()) {
            return serveFirst(db, call, work, payload, row);
        }
        if (call.isUndo() && row.state.equals("none")) {
            remember(db, call, "null_cancelled", null);
            return new Answer("done", true, null);
        }
        if (row.state.equals("tried")) {
            work.run(db, payload);
            remember(db, call, call.isUndo() ? "cancelled" : "confirmed", row.kept);
            return new Answer("done", true, null);
        }
        // What is left has ended; an undo agrees with every end but confirmed, a confirm with that.
        return row.state.equals("confirmed") != call.isUndo()
            ? new Answer("done", true, null)
            : refuse("illegal_order", call.op + " after " + row.state, false);
    }

    static Answer serveFirst(Connection db, Call call, Work work, JSONObject payload, Row row)
            throws SQLException {
        switch (row.state) {
            case "tried", "confirmed":
                return new Answer("done", true, row.kept);
            case "refused":
                return new Answer("refused", true, row.kept);
            case "cancelled", "null_cancelled":
                return refuse("hanging", "it was cancelled before", true);
            default:
                break;
        }
        try {
            String reply = work.run(db, payload).toString();
            remember(db, call, "tried", reply);
            return new Answer("done", true, reply);
        } catch (Refused no) {
            // Written in a transaction of its own, unless a row came between.
            db.rollback();
            if (!look(db, call).state.equals("none")) {
                throw new SQLException("somebody came between: to be asked again");
            }
            remember(db, call, "refused", no.refusal.toString());
            return new Answer("refused", true, no.refusal.toString());
        }
    }

    /** Keeps the highest limit of each origin; most calls find it as high already. */
    static void raiseLimit(Connection db, Call call) throws SQLException {
        if (limitOf(db, call.origin) < call.limit) {
            change(db, "insert into barrier_limit values (?, ?) on conflict (origin) do update set"
                + " limit_ms = greatest(barrier_limit.limit_ms, excluded.limit_ms)",
                call.origin, call.limit);
        }
        db.commit();
    }

    static long limitOf(Connection db, String origin) throws SQLException {
        try (var query = prepare(db, "select coalesce(max(limit_ms), 0) from barrier_limit"
                + " where origin = ?", origin); ResultSet found = query.executeQuery()) {
            found.next();
            return found.getLong(1);
        }
    }

    /**
     * Looks at the row and holds it: another copy of the call waits here until this one has ended.
     * Limits are read after that, since they may have risen meanwhile; what lies below them counts
     * as absent. A row begun after the call in the same log is of a later use of the gid.
     */
    static Row look(Connection db, Call call) throws SQLException {
        if (!call.op.equals("inspect")) {
            change(db, "insert into barrier values (?, ?, 'none', null, ?, ?) on conflict do nothing",
                call.gid, call.branch, call.origin, call.begun);
        }
        Row row = new Row("none", null);
        String origin = call.origin;
        long begun = call.begun;
        try (var query = prepare(db, "select state, answer, origin, begun from barrier"
                + " where gid = ? and branch = ? for update", call.gid, call.branch);
                ResultSet found = query.executeQuery()) {
            if (found.next()) {
                row = new Row(found.getString(1), found.getString(2));
                origin = found.getString(3);
                begun = found.getLong(4);
            }
        }
        boolean isEarlier = origin.equals(call.origin) && call.begun < begun;
        if (isEarlier || call.begun < Math.max(limitOf(db, call.origin), call.limit)) {
            return new Row("stale", null);
        }
        return begun < limitOf(db, origin) ? new Row("none", null) : row;
    }

    /** Writes the row and commits, the work with it. */
    static void remember(Connection db, Call call, String state, String kept) throws SQLException {
        change(db, "update barrier set state = ?, answer = ?, origin = ?, begun = ?"
            + " where gid = ? and branch = ?",
            state, kept, call.origin, call.begun, call.gid, call.branch);
        db.commit();
    }

    static PreparedStatement prepare(Connection db, String text, Object... values)
            throws SQLException {
        PreparedStatement statement = db.prepareStatement(text);
        for (int at = 0; at < values.length; at++) {
            if (values[at] == null) {
                statement.setNull(at + 1, java.sql.Types.VARCHAR);
            } else {
                statement.setObject(at + 1, values[at]);
            }
        }
        return statement;
    }

    static int change(Connection db, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = prepare(db, text, values)) {
            return statement.executeUpdate();
        }
    }

    // HTTP.

    static Call read(Headers headers) {
        Map<String, String> mark = new HashMap<>();
        for (String part : headers.getFirst("wholly-mark").split(";")) {
            mark.put(part.substring(0, part.indexOf('=')), part.substring(part.indexOf('=') + 1));
        }
        return new Call(headers.getFirst("wholly-gid"), headers.getFirst("wholly-branch"),
            headers.getFirst("wholly-operation"), headers.getFirst("wholly-op"),
            mark.get("origin"), Long.parseLong(mark.get("begun")),
            Long.parseLong(mark.get("limit")));
    }

    static void handle(Believe own, String url, HttpExchange exchange) throws IOException {
        Headers headers = exchange.getRequestHeaders();
        byte[] bytes = exchange.getRequestBody().readAllBytes();
        if (own.id() != null) {
            try {
                String path = exchange.getRequestURI().getRawPath();
                own.check(new Believe.Message(exchange.getRequestMethod(), path, headers, bytes),
                    System.currentTimeMillis() / 1000);
            } catch (Believe.Forged | GeneralSecurityException why) {
                // No answer: to the coordinator, nothing is known.
                send(exchange, 401, refusal("call_not_believed", why.getMessage()).toString());
                return;
            }
        }
        String body = new String(bytes, StandardCharsets.UTF_8);
        Call call;
        Answer answer;
        try {
            call = read(headers);
            JSONObject payload = body.isEmpty() ? null : new JSONObject(body);
            if ("envelope".equals(headers.getFirst("wholly-body"))) {
                payload = payload.getJSONObject("payload");
            }
            Work work = OPERATIONS.getOrDefault(call.operation, Map.of()).get(call.op);
            if (work != null || call.op.equals("inspect")) {
                try (Connection db = DriverManager.getConnection(url)) {
                    db.setAutoCommit(false); // What is not committed ends with the connection.
                    answer = serve(db, call, work, payload);
                }
            } else if (call.isFirst()) {
                answer = refuse("operation_unknown", call.operation, false);
            } else {
                throw new IllegalArgumentException("no operation " + call.operation);
            }
        } catch (Exception error) { // Nothing is known: to be asked again.
            send(exchange, 500, refusal("failed", String.valueOf(error.getMessage())).toString());
            return;
        }
        exchange.getResponseHeaders().set("wholly-answer",
            answer.word + ";gid=" + call.gid + ";branch=" + call.branch + ";operation="
                + call.operation + ";op=" + call.op + (answer.kept ? ";kept" : ""));
        send(exchange, answer.word.equals("done") ? 200 : 409, answer.body);
    }

    /** What is free, locked and sold, for whoever checks the books. */
    static void books(String url, HttpExchange exchange) throws IOException {
        try (Connection db = DriverManager.getConnection(url);
                var query = prepare(db, "select free, locked, sold from stock where sku = 'tea'");
                ResultSet found = query.executeQuery()) {
            found.next();
            send(exchange, 200, new JSONObject().put("free", found.getLong(1))
                .put("locked", found.getLong(2)).put("sold", found.getLong(3)).toString());
        } catch (SQLException error) {
            send(exchange, 500, refusal("failed", error.getMessage()).toString());
        }
    }

    static void send(HttpExchange exchange, int status, String body) throws IOException {
        byte[] bytes = body == null ? new byte[0] : body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("content-type", "application/json");
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        if (bytes.length > 0) {
            exchange.getResponseBody().write(bytes);
        }
        exchange.close();
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[1];
        String secrets = System.getenv().getOrDefault("WHOLLY_SECRET", "");
        Believe own = new Believe(System.getenv("WHOLLY_ID"), List.of(secrets.split(",")));
        if (own.id() != null && own.secrets().stream().anyMatch(secret -> secret.length() < 32)) {
            throw new IllegalArgumentException("WHOLLY_SECRET: a secret has 32 characters at least");
        }
        try (Connection db = DriverManager.getConnection(url)) {
            change(db, SCHEMA);
        }
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/wholly/", exchange -> handle(own, url, exchange));
        server.createContext("/books", exchange -> books(url, exchange));
        server.setExecutor(Executors.newFixedThreadPool(16)); // A further call waits for a thread.
        server.start();
        System.out.println("ready http://127.0.0.1:" + arguments[0]);
    }
}
