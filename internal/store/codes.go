package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/gantry-registry/gantry/internal/gantry"
)

// The kinds of codes that go out by mail.
const (
	CodeConfirm    = "confirm"    // the address of an account is its own
	CodeChange     = "change"     // an account wants another address
	CodeRecover    = "recover"    // a password was forgotten
	CodeRepository = "repository" // an address agrees to get mail of a repository
)

// HashCode is the stored form of a code.
func HashCode(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

// A NewCode is a code to be written down. It can be used once.
type NewCode struct {
	Hash    string // see HashCode
	Kind    string
	Account gantry.AccountID // whose address it is about; of CodeRepository, who asked
	Repo    gantry.RepoID    // of CodeRepository
	Email   string           // where it goes
	Life    time.Duration
	Mail    NewJob // that brings it; it is queued in the same transaction
}

// A Code is one that can still be used.
type Code struct {
	Kind    string
	Account gantry.AccountID
	Repo    gantry.RepoID
	Email   string
}

// maxCodes bounds the codes of one kind that one account can have at a time,
// and with them the mail that somebody can be sent.
const maxCodes = 5

// CreateCode writes down a code and queues its mail. created is false where
// the account has maxCodes of them that were not used: then nothing happens.
func (db *DB) CreateCode(ctx context.Context, c NewCode) (created bool, err error) {
	err = db.update(ctx, "create code", func(ctx context.Context, t *tx) error {
		created, err = t.createCode(ctx, c)
		return err
	})
	return created, err
}

func (t *tx) createCode(ctx context.Context, c NewCode) (bool, error) {
	now := t.now.UnixMilli()
	if _, err := t.exec(ctx, `DELETE FROM codes WHERE expires_ms <= ?`, now); err != nil {
		return false, err
	}
	limit := maxCodes
	if c.Kind == CodeRepository {
		limit = 10 * maxCodes
	}
	var have int
	if err := t.queryRow(ctx, `SELECT COUNT(*) FROM codes WHERE account_id = ? AND kind = ?`, c.Account, c.Kind).Scan(&have); err != nil || have >= limit {
		return false, err
	}
	if _, err := t.exec(ctx, `INSERT INTO codes (hash, kind, account_id, repo_id, email, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.Hash, c.Kind, c.Account, c.Repo, strings.ToLower(c.Email), now, t.now.Add(c.Life).UnixMilli()); err != nil {
		return false, err
	}
	_, err := t.enqueue(ctx, []NewJob{c.Mail})
	return err == nil, err
}

var errNoCode = gantry.Errorf(gantry.NotFound, "code", "The code is not valid, was used already, or has expired")

// Code finds a code of one of the kinds; NotFound on "code".
func (db *DB) Code(ctx context.Context, hash string, kinds ...string) (c Code, err error) {
	err = db.read(ctx, "find code", func(ctx context.Context, t *tx) error {
		c, err = t.code(ctx, hash, "", kinds)
		return err
	})
	return c, err
}

func (t *tx) code(ctx context.Context, hash, excl string, kinds []string) (c Code, err error) {
	in, args := list(kinds, []any{hash, t.now.UnixMilli()})
	err = t.queryRow(ctx, `SELECT kind, account_id, repo_id, email FROM codes WHERE hash = ? AND expires_ms > ? AND kind IN `+in+excl, args...).
		Scan(&c.Kind, &c.Account, &c.Repo, &c.Email)
	return c, notFound(err, errNoCode)
}

// useCode takes a code, which is then gone.
func (t *tx) useCode(ctx context.Context, hash string, kinds ...string) (Code, error) {
	c, err := t.code(ctx, hash, t.d.excl, kinds)
	if err != nil {
		return c, err
	}
	n, err := t.exec(ctx, `DELETE FROM codes WHERE hash = ?`, hash)
	return c, errors.Join(err, asError(errNoCode, err == nil && n == 0))
}

// codeUser finds the user that a code is of.
func (t *tx) codeUser(ctx context.Context, c Code) (Account, error) {
	var id int64
	err := t.queryRow(ctx, `SELECT id FROM accounts WHERE id = ? AND kind = 'user' AND enabled = 1 AND deleted_ms = 0`+t.d.excl, c.Account).Scan(&id)
	if err != nil {
		return Account{}, notFound(err, errNoCode)
	}
	return t.accountWhere(ctx, "a.id = ?", c.Account)
}

// ConfirmEmail uses a code of CodeConfirm or CodeChange: the account's address
// is confirmed, or changed first. old is the address before a change, else "".
// NotFound on "code"; an address that another account has got meanwhile is
// Conflict on "email".
func (db *DB) ConfirmEmail(ctx context.Context, hash string, actor gantry.Actor) (a Account, old string, err error) {
	err = db.update(ctx, "confirm address", func(ctx context.Context, t *tx) error {
		c, err := t.useCode(ctx, hash, CodeConfirm, CodeChange)
		if err != nil {
			return err
		}
		if a, err = t.codeUser(ctx, c); err != nil {
			return err
		}
		old = ""
		by := actor
		by.Account, by.Name, by.Kind = a.ID, a.Name, gantry.ActorUser
		e := Event{Kind: "user_change_metadata", Namespace: a.ID, Actor: by, Payload: map[string]any{"username": a.Name, "verified": true}}
		if c.Kind == CodeChange {
			old = a.Email
			if _, err := t.freeEmail(ctx, a.ID, c.Email); err != nil {
				return err
			}
			e.Kind, e.Payload = "user_change_email", map[string]any{"email": c.Email, "old_email": old}
			// What was sent to the old address opens nothing any more.
			if _, err := t.exec(ctx, `DELETE FROM codes WHERE account_id = ? AND kind <> '`+CodeRepository+`'`, a.ID); err != nil {
				return err
			}
		} else if c.Email != a.Email {
			return errNoCode // it is of an address that the account had before
		}
		if _, err := t.exec(ctx, `UPDATE accounts SET email = ?, verified = 1 WHERE id = ?`, c.Email, a.ID); err != nil {
			return err
		}
		t.more = true
		a.Email, a.Verified = c.Email, true
		return t.event(ctx, e)
	})
	return a, old, err
}

// Recover uses a code of CodeRecover: the user gets another password hash, and
// all sessions and codes of the account end. NotFound on "code".
func (db *DB) Recover(ctx context.Context, hash, password string, actor gantry.Actor) (a Account, err error) {
	err = db.update(ctx, "recover account", func(ctx context.Context, t *tx) error {
		c, err := t.useCode(ctx, hash, CodeRecover)
		if err != nil {
			return err
		}
		if a, err = t.codeUser(ctx, c); err != nil {
			return err
		}
		if c.Email != a.Email {
			return errNoCode
		}
		by := actor
		by.Account, by.Name, by.Kind = a.ID, a.Name, gantry.ActorUser
		if err := t.setPassword(ctx, a.ID, password, 0, by); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM codes WHERE account_id = ? AND kind <> '` + CodeRepository + `'`, `UPDATE accounts SET verified = 1 WHERE id = ?`} {
			if _, err := t.exec(ctx, q, a.ID); err != nil {
				return err
			}
		}
		a, err = t.accountWhere(ctx, "a.id = ?", a.ID)
		return err
	})
	return a, err
}

// Mailbox finds the user or organization of an address; NotFound on "account".
// Of several it is the oldest user.
func (db *DB) Mailbox(ctx context.Context, email string) (a Account, err error) {
	email = strings.ToLower(email)
	err = db.read(ctx, "find mailbox", func(ctx context.Context, t *tx) error {
		if a, err = t.accountWhere(ctx, "a.email = ? AND a.kind = 'user'", email); gantry.Is(err, gantry.NotFound) {
			a, err = t.accountWhere(ctx, "a.email = ? AND a.kind = 'organization'", email)
		}
		return err
	})
	return a, err
}

// Administrators lists the users that administer an organization, by id, at
// most 100.
func (db *DB) Administrators(ctx context.Context, org gantry.AccountID) (all []Account, err error) {
	err = db.read(ctx, "list administrators", func(ctx context.Context, t *tx) error {
		who, err := t.noticed(ctx, NoticeTarget{Kind: "org", Namespace: org})
		if err != nil {
			return err
		}
		for _, id := range who[:min(len(who), 100)] {
			a, err := t.accountWhere(ctx, "a.id = ?", id)
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		return nil
	})
	return all, err
}

// maxRepositoryEmails bounds the addresses of one repository.
const maxRepositoryEmails = 100

var errNoEmail = gantry.Errorf(gantry.NotFound, "email", "No confirmation was asked for this address")

// RepositoryEmail tells whether an address has agreed to get mail of a
// repository; NotFound on "email" where it was not asked.
func (db *DB) RepositoryEmail(ctx context.Context, repo gantry.RepoID, email string) (confirmed bool, err error) {
	err = db.read(ctx, "find address", func(ctx context.Context, t *tx) error {
		var n int
		err := t.queryRow(ctx, `SELECT confirmed FROM repository_emails WHERE repo_id = ? AND email = ?`, repo, strings.ToLower(email)).Scan(&n)
		confirmed = n == 1
		return notFound(err, errNoEmail)
	})
	return confirmed, err
}

// AskRepositoryEmail asks an address, by the mail of a code of CodeRepository,
// whether it agrees to get mail of c.Repo; one that has agreed is not asked
// again. Conflict on "email" where the repository has too many, Limited where
// the account has asked too many.
func (db *DB) AskRepositoryEmail(ctx context.Context, c NewCode) error {
	c.Email = strings.ToLower(c.Email)
	return db.update(ctx, "ask address", func(ctx context.Context, t *tx) error {
		if err := t.aliveRepository(ctx, c.Repo); err != nil {
			return err
		}
		if yes, err := t.exists(ctx, `SELECT 1 FROM repository_emails WHERE repo_id = ? AND email = ? AND confirmed = 1`, c.Repo, c.Email); err != nil || yes {
			return err
		}
		var have int
		if err := t.queryRow(ctx, `SELECT COUNT(*) FROM repository_emails WHERE repo_id = ? AND email <> ?`, c.Repo, c.Email).Scan(&have); err != nil {
			return err
		}
		if have >= maxRepositoryEmails {
			return gantry.Errorf(gantry.Conflict, "email", "A repository can have %d addresses", maxRepositoryEmails)
		}
		if _, err := t.exec(ctx, `INSERT INTO repository_emails (repo_id, email, confirmed, created_ms) VALUES (?, ?, 0, ?)`+t.d.ignore("repo_id"),
			c.Repo, c.Email, t.now.UnixMilli()); err != nil {
			return err
		}
		created, err := t.createCode(ctx, c)
		if err == nil && !created {
			err = gantry.Errorf(gantry.Limited, "email", "Too many addresses were asked and have not answered; try again later")
		}
		return err
	})
}

// ConfirmRepositoryEmail uses a code of CodeRepository and returns the
// repository. NotFound on "code".
func (db *DB) ConfirmRepositoryEmail(ctx context.Context, hash string) (r Repository, email string, err error) {
	var repo gantry.RepoID
	err = db.update(ctx, "confirm address of a repository", func(ctx context.Context, t *tx) error {
		c, err := t.useCode(ctx, hash, CodeRepository)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `UPDATE repository_emails SET confirmed = 1 WHERE repo_id = ? AND email = ?`, c.Repo, c.Email)
		repo, email = c.Repo, c.Email
		return errors.Join(err, asError(errNoCode, err == nil && n == 0))
	})
	if err == nil {
		r, err = db.RepositoryByID(ctx, repo)
	}
	return r, email, err
}
