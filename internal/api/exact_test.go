package api

import (
	"encoding/json"
	"reflect"
	"testing"
)

type exactInner struct{ Name, Kind string }

type exactBody struct {
	Role       string
	AdminUser  string
	UUID       string
	Token      bool `json:"access_token"`
	Delegate   exactInner
	Activating *exactInner `json:"activating_user"`
	List       []exactInner
	Named      map[string]exactInner
	Raw        json.RawMessage
	Free       map[string]any
}

// TestExact: a name in another case is an unknown field, at any depth.
func TestExact(t *testing.T) {
	for in, want := range map[string]exactBody{
		`{"role":"read","Role":"admin"}`:                                      {Role: "read"},
		`{"Role":"admin"}`:                                                    {},
		`{"adminUser":"a","adminuser":"b","AdminUser":"c"}`:                   {AdminUser: "a"},
		`{"uuid":"u","UUID":"v"}`:                                             {UUID: "u"},
		`{"Access_Token":true}`:                                               {},
		`{"access_token":true}`:                                               {Token: true},
		`{"delegate":{"name":"a","Name":"b","KIND":"c"}}`:                     {Delegate: exactInner{Name: "a"}},
		`{"activating_user":{"Name":"b"}}`:                                    {Activating: &exactInner{}},
		`{"activating_user":null}`:                                            {},
		`{"list":[{"name":"a","NAME":"b"},{"kind":"k"}]}`:                     {List: []exactInner{{Name: "a"}, {Kind: "k"}}},
		`{"named":{"Name":{"name":"n","Kind":"k"}}}`:                          {Named: map[string]exactInner{"Name": {Name: "n"}}},
		`{"raw":{"Name":1}, "free":{"Name":{"Kind":"k"}}, "unknown":{"a":1}}`: {Raw: json.RawMessage(`{"Name":1}`), Free: map[string]any{"Name": map[string]any{"Kind": "k"}}},
	} {
		var got exactBody
		if err := json.Unmarshal(exact([]byte(in), reflect.TypeOf(&got)), &got); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
	for _, in := range []string{"", "null", "{", "[]", `"x"`, `{"delegate":[]}`, `{"list":{}}`} {
		var direct, through exactBody
		e1 := json.Unmarshal([]byte(in), &direct)
		e2 := json.Unmarshal(exact([]byte(in), reflect.TypeOf(&through)), &through)
		if (e1 == nil) != (e2 == nil) {
			t.Errorf("%q: %v becomes %v", in, e1, e2)
		}
	}
}
