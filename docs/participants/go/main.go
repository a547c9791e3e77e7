// A participant by hand: a stock service for TCC and saga, in Go's standard library, with lib/pq for PostgreSQL.
//
//	go run . 8080 'postgres://postgres@127.0.0.1:5432/stock?sslmode=disable'
//	wholly serve --dev --destination stock=http://127.0.0.1:8080
//
// With WHOLLY_ID and WHOLLY_SECRET, a credential of the coordinator's (two secrets, with a comma
// between them, while it is changed), it believes signed calls only.
package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/lib/pq"
)

const schema = `
create table if not exists stock (sku text primary key, free bigint not null check (free >= 0),
                                  locked bigint not null default 0, sold bigint not null default 0);
insert into stock (sku, free) values ('tea', 1000) on conflict do nothing;
create table if not exists barrier (gid text, branch text, state text not null, answer text,
                                    origin text not null, begun bigint not null,
                                    primary key (gid, branch));
create table if not exists barrier_limit (origin text primary key, limit_ms bigint not null);
`

// The business: each runs in the local transaction that the barrier's row is written in.

type order struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// refusal is the business's final no.
type refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (no refusal) Error() string { return no.Code + ": " + no.Detail }

type work func(tx *sql.Tx, asked order) (any, error)

// move moves so many times the quantity into each column.
func move(free, locked, sold int64) work {
	return func(tx *sql.Tx, asked order) (any, error) {
		n := asked.Quantity
		moved, err := tx.Exec(`update stock set free = free + $1, locked = locked + $2,
			sold = sold + $3 where sku = $4 and free + $1 >= 0`,
			free*n, locked*n, sold*n, asked.SKU)
		if err != nil {
			return nil, err
		}
		if rows, err := moved.RowsAffected(); err != nil || rows == 1 {
			return map[string]int{"warehouse": 7}, err
		}
		return nil, refusal{"out_of_stock", asked.SKU + " is out of stock"}
	}
}

var operations = map[string]map[string]work{
	"stock.lock": {
		"try":     move(-1, 1, 0),
		"confirm": move(0, -1, 1),
		"cancel":  move(1, -1, 0),
	},
	"stock.lock-now": {
		"action":     move(-1, 0, 1),
		"compensate": move(1, 0, -1),
	},
}

// The barrier.

type call struct {
	gid, branch, operation, op, origin string
	begun, limit                       int64
}

type answer struct {
	word string
	kept bool
	body any // nil for none
}

func (asked call) isFirst() bool { return asked.op == "try" || asked.op == "action" }

func refuse(code, detail string, kept bool) answer {
	return answer{"refused", kept, refusal{code, detail}}
}

// serve answers a call. Only what is remembered is committed: all else leaves no trace.
func serve(db *sql.DB, asked call, do work, payload order) (answer, error) {
	if err := raiseLimit(db, asked); err != nil {
		return answer{}, err
	}
	tx, err := db.Begin()
	if err != nil {
		return answer{}, err
	}
	defer tx.Rollback()
	state, kept, err := look(tx, asked)
	if err != nil {
		return answer{}, err
	}
	isUndo := asked.op == "cancel" || asked.op == "compensate"
	switch {
	case state == "stale":
		return refuse("stale", "its transaction ended long ago", false), nil
	case asked.op == "inspect":
		standing := map[string]any{"state": state}
		if kept != nil {
			standing["reply"] = kept
		}
		return answer{"done", false, standing}, nil
	case asked.isFirst():
		return serveFirst(db, tx, asked, do, payload, state, kept)
	case isUndo && state == "none":
		return answer{"done", true, nil}, remember(tx, asked, "null_cancelled", nil)
	case state == "tried":
		if _, err := do(tx, payload); err != nil {
			return answer{}, err
		}
		after := "confirmed"
		if isUndo {
			after = "cancelled"
		}
		return answer{"done", true, nil}, remember(tx, asked, after, kept)
	case isUndo && state != "confirmed", !isUndo && state == "confirmed":
		return answer{"done", true, nil}, nil
	}
	return refuse("illegal_order", asked.op+" after "+state, false), nil
}

func serveFirst(db *sql.DB, tx *sql.Tx, asked call, do work, payload order,
	state string, kept json.RawMessage) (answer, error) {
	switch state {
	case "tried", "confirmed":
		return answer{"done", true, kept}, nil
	case "refused":
		return answer{"refused", true, kept}, nil
	case "cancelled", "null_cancelled":
		return refuse("hanging", "it was cancelled before", true), nil
	}
	reply, err := do(tx, payload)
	var no refusal
	if errors.As(err, &no) {
		tx.Rollback()
		return rememberRefusal(db, asked, no)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{"done", true, reply}, remember(tx, asked, "tried", reply)
}

// rememberRefusal writes the refusal in a transaction of its own, unless a row came between.
func rememberRefusal(db *sql.DB, asked call, no refusal) (answer, error) {
	tx, err := db.Begin()
	if err != nil {
		return answer{}, err
	}
	defer tx.Rollback()
	state, _, err := look(tx, asked)
	if err == nil && state != "none" {
		err = errors.New("somebody came between: to be asked again")
	}
	if err != nil {
		return answer{}, err
	}
	return answer{"refused", true, no}, remember(tx, asked, "refused", no)
}

// raiseLimit keeps the highest limit of each origin; most calls find it as high already.
func raiseLimit(db *sql.DB, asked call) error {
	if asked.op == "inspect" {
		return nil
	}
	if limit, err := limitOf(db, asked.origin); err != nil || limit >= asked.limit {
		return err
	}
	_, err := db.Exec(`insert into barrier_limit values ($1, $2) on conflict (origin) do update
		set limit_ms = greatest(barrier_limit.limit_ms, excluded.limit_ms)`,
		asked.origin, asked.limit)
	return err
}

type querier interface {
	QueryRow(query string, args ...any) *sql.Row
}

func limitOf(db querier, origin string) (limit int64, err error) {
	err = db.QueryRow(`select coalesce(max(limit_ms), 0) from barrier_limit where origin = $1`,
		origin).Scan(&limit)
	return limit, err
}

// look gives the row's state and what it keeps, and holds the row: another copy of the call waits
// here until this one has ended. Limits are read after that, since they may have risen meanwhile;
// what lies below them counts as absent. A row begun after the call in the same log is of a later
// use of the gid.
func look(tx *sql.Tx, asked call) (string, json.RawMessage, error) {
	if asked.op != "inspect" {
		_, err := tx.Exec(`insert into barrier values ($1, $2, 'none', null, $3, $4)
			on conflict do nothing`, asked.gid, asked.branch, asked.origin, asked.begun)
		if err != nil {
			return "", nil, err
		}
	}
	state, kept, origin, begun := "none", sql.NullString{}, asked.origin, asked.begun
	err := tx.QueryRow(`select state, answer, origin, begun from barrier
		where gid = $1 and branch = $2 for update`, asked.gid, asked.branch).
		Scan(&state, &kept, &origin, &begun)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", nil, err
	}
	limit, err := limitOf(tx, asked.origin)
	isEarlier := origin == asked.origin && asked.begun < begun
	if err != nil || isEarlier || asked.begun < max(limit, asked.limit) {
		return "stale", nil, err
	}
	limit, err = limitOf(tx, origin)
	switch {
	case err != nil || begun < limit:
		return "none", nil, err
	case kept.Valid:
		return state, json.RawMessage(kept.String), nil
	}
	return state, nil, nil
}

// remember writes the row and commits, the work with it.
func remember(tx *sql.Tx, asked call, state string, kept any) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`update barrier set state = $3, answer = nullif($4, 'null'), origin = $5,
		begun = $6 where gid = $1 and branch = $2`,
		asked.gid, asked.branch, state, string(text), asked.origin, asked.begun)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// HTTP.

func read(request *http.Request, body []byte) (asked call, payload order, err error) {
	header := func(name string) string { return request.Header.Get("wholly-" + name) }
	asked = call{gid: header("gid"), branch: header("branch"), operation: header("operation"),
		op: header("op")}
	mark := map[string]string{}
	for _, part := range strings.Split(header("mark"), ";") {
		name, value, _ := strings.Cut(part, "=")
		mark[name] = value
	}
	asked.origin = mark["origin"]
	var errBegun, errLimit error
	asked.begun, errBegun = strconv.ParseInt(mark["begun"], 10, 64)
	asked.limit, errLimit = strconv.ParseInt(mark["limit"], 10, 64)
	if err = errors.Join(errBegun, errLimit); err != nil || len(body) == 0 {
		return asked, payload, err
	}
	if header("body") == "envelope" {
		envelope := struct{ Payload json.RawMessage }{}
		if err = json.Unmarshal(body, &envelope); err != nil {
			return asked, payload, err
		}
		body = envelope.Payload
	}
	return asked, payload, json.Unmarshal(body, &payload)
}

// atIt holds the branches that are being served here.
var atIt sync.Map

func handle(own credential, db *sql.DB, response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err == nil && own.id != "" {
		if why := own.believe(request, body, time.Now()); why != nil {
			// No answer: to the coordinator, nothing is known.
			http.Error(response, why.Error(), http.StatusUnauthorized)
			return
		}
	}
	asked, payload, errRead := read(request, body)
	if err = errors.Join(err, errRead); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	branch := [2]string{asked.gid, asked.branch}
	if _, isAtIt := atIt.LoadOrStore(branch, true); isAtIt && asked.op != "inspect" {
		say(response, asked, answer{"working", false, nil})
		return
	} else if !isAtIt {
		defer atIt.Delete(branch)
	}
	do, isOffered := operations[asked.operation][asked.op]
	said := refuse("operation_unknown", asked.operation, false)
	switch {
	case isOffered || asked.op == "inspect":
		said, err = serve(db, asked, do, payload)
	case !asked.isFirst():
		err = fmt.Errorf("no operation %s %s", asked.operation, asked.op)
	}
	if err != nil { // Nothing happened, or nothing is known of it: to be asked again.
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	say(response, asked, said)
}

func say(response http.ResponseWriter, asked call, said answer) {
	echo := fmt.Sprintf("%s;gid=%s;branch=%s;operation=%s;op=%s",
		said.word, asked.gid, asked.branch, asked.operation, asked.op)
	if said.kept {
		echo += ";kept"
	}
	response.Header().Set("wholly-answer", echo)
	status := map[string]int{"done": http.StatusOK, "refused": http.StatusConflict,
		"working": http.StatusTooEarly}[said.word]
	write(response, status, said.body)
}

// books shows what is free, locked and sold, for whoever checks them.
func books(db *sql.DB, response http.ResponseWriter) {
	var free, locked, sold int64
	err := db.QueryRow(`select free, locked, sold from stock where sku = 'tea'`).
		Scan(&free, &locked, &sold)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	write(response, http.StatusOK, map[string]int64{"free": free, "locked": locked, "sold": sold})
}

func write(response http.ResponseWriter, status int, body any) {
	response.Header().Set("content-type", "application/json")
	response.WriteHeader(status)
	if body != nil {
		json.NewEncoder(response).Encode(body)
	}
}

func main() {
	port, url := os.Args[1], os.Args[2]
	own := credential{os.Getenv("WHOLLY_ID"), strings.Split(os.Getenv("WHOLLY_SECRET"), ",")}
	if own.id != "" && slices.ContainsFunc(own.secrets, func(s string) bool { return len(s) < 32 }) {
		log.Fatal("WHOLLY_SECRET: a secret has 32 characters at least")
	}
	db, err := sql.Open("postgres", url)
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(16) // A further call waits for a connection.
	if _, err := db.Exec(schema); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /wholly/{operation}", func(w http.ResponseWriter, r *http.Request) {
		handle(own, db, w, r)
	})
	http.HandleFunc("GET /books", func(w http.ResponseWriter, _ *http.Request) { books(db, w) })
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready http://127.0.0.1:" + port)
	log.Fatal(http.Serve(listener, nil))
}
