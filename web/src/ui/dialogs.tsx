import {
  Alert,
  AlertActionCloseButton,
  AlertActionLink,
  AlertGroup,
  Button,
  Checkbox,
  Form,
  FormGroup,
  FormHelperText,
  FormSelect,
  FormSelectOption,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextArea,
  TextInput,
} from '@patternfly/react-core';
import { createContext, useCallback, useContext, useId, useMemo, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { t } from '../i18n';
import { EntityField } from './entity';
import { ProblemAlert } from './problem';

export type Values = Record<string, string>;

export type Field = {
  name: string;
  label: string;
  kind?: 'text' | 'password' | 'area' | 'select' | 'check' | 'entity' | 'number' | 'datetime-local' | 'email';
  initial?: string;
  help?: ReactNode;
  optional?: boolean;
  /** check says what is wrong with a value; undefined = nothing. */
  check?: (value: string, all: Values) => string | undefined;
  options?: { value: string; label: string }[];
  /** shown decides from the other values whether the field is there. */
  shown?: (all: Values) => boolean;
  /** namespace has an entity field find the teams and robots of it, too. */
  namespace?: string;
  teams?: boolean;
  autoComplete?: string;
};

export type FormSpec = {
  title: string;
  text?: ReactNode;
  fields: Field[];
  action: string;
  danger?: boolean;
  /** trial asks whether the values would do, and says what came of it; its failure is shown like that of submit. */
  trial?: { label: string; run: (values: Values) => Promise<string> };
  wide?: boolean;
  /** submit does it; what it throws is shown in the dialog, which stays open. */
  submit: (values: Values) => Promise<unknown>;
};

export type ConfirmSpec = {
  title: string;
  text: ReactNode;
  action: string;
  /** typed has to be typed before anything is done; undefined = a click is enough. */
  typed?: string;
  submit: () => Promise<unknown>;
};

export type ShowSpec = { title: string; body: ReactNode; wide?: boolean };

type Toast = { id: number; title: string; variant: 'success' | 'danger' | 'info'; text?: string; undo?: () => void };

type Dialogs = {
  form: (spec: FormSpec) => void;
  confirm: (spec: ConfirmSpec) => void;
  show: (spec: ShowSpec) => void;
  toast: (title: string, more?: Partial<Omit<Toast, 'id' | 'title'>>) => void;
};

const Context = createContext<Dialogs | null>(null);

export function useDialogs(): Dialogs {
  const d = useContext(Context);
  if (!d) throw new Error('useDialogs outside of DialogProvider');
  return d;
}

type Open = { kind: 'form'; spec: FormSpec } | { kind: 'confirm'; spec: ConfirmSpec } | { kind: 'show'; spec: ShowSpec };

/** DialogProvider shows the dialogs and toasts of the pages inside it. */
export function DialogProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<Open>();
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const back = useRef<Element | null>(null);
  const drop = useCallback((id: number) => setToasts((all) => all.filter((x) => x.id !== id)), []);
  const close = useCallback(() => {
    setOpen(undefined);
    const to = back.current;
    setTimeout(() => to instanceof HTMLElement && to.isConnected && to.focus(), 0);
  }, []);
  const dialogs = useMemo<Dialogs>(() => {
    const show = (o: Open) => {
      back.current = document.activeElement;
      setOpen(o);
    };
    return {
      form: (spec) => show({ kind: 'form', spec }),
      confirm: (spec) => show({ kind: 'confirm', spec }),
      show: (spec) => show({ kind: 'show', spec }),
      toast: (title, more) => {
        const id = next.current++;
        setToasts((all) => [...all.slice(-3), { id, title, variant: 'success', ...more }]);
        // WCAG 2.2.1: what can be undone stays until it is closed or ten seconds have gone.
        setTimeout(() => drop(id), more?.undo ? 10_000 : 6_000);
      },
    };
  }, [drop]);
  return (
    <Context.Provider value={dialogs}>
      {children}
      {open?.kind === 'form' && <FormDialog spec={open.spec} close={close} />}
      {open?.kind === 'confirm' && <ConfirmDialog spec={open.spec} close={close} />}
      {open?.kind === 'show' && (
        <Modal isOpen onClose={close} variant={open.spec.wide ? 'large' : 'medium'} aria-labelledby="show-title">
          <ModalHeader title={open.spec.title} labelId="show-title" />
          <ModalBody tabIndex={0} aria-label={open.spec.title}>{open.spec.body}</ModalBody>
          <ModalFooter>
            <Button onClick={close}>{t('Close')}</Button>
          </ModalFooter>
        </Modal>
      )}
      <AlertGroup isToast isLiveRegion hasAnimations={false}>
        {toasts.map((x) => (
          <Alert
            key={x.id}
            variant={x.variant}
            title={x.title}
            actionClose={<AlertActionCloseButton title={x.title} aria-label={t('Close')} onClose={() => drop(x.id)} />}
            actionLinks={
              x.undo && (
                <AlertActionLink
                  onClick={() => {
                    drop(x.id);
                    x.undo?.();
                  }}
                >
                  {t('Undo')}
                </AlertActionLink>
              )
            }
          >
            {x.text}
          </Alert>
        ))}
      </AlertGroup>
    </Context.Provider>
  );
}

function initialOf(fields: Field[]): Values {
  return Object.fromEntries(fields.map((f) => [f.name, f.initial ?? (f.kind === 'select' ? (f.options?.[0]?.value ?? '') : '')]));
}

/** faults says what is wrong with the values of a form, by field. */
export function faults(fields: Field[], values: Values): Values {
  const out: Values = {};
  for (const f of fields) {
    if (f.shown && !f.shown(values)) continue;
    const v = values[f.name] ?? '';
    if (!f.optional && f.kind !== 'check' && v.trim() === '') out[f.name] = t('This is needed');
    else if (v !== '' || !f.optional) {
      const wrong = f.check?.(v, values);
      if (wrong) out[f.name] = wrong;
    }
  }
  return out;
}

/** Fields are the inputs of a form, with what is wrong below each. */
export function Fields({ fields, values, wrong, onChange }: { fields: Field[]; values: Values; wrong: Values; onChange: (name: string, value: string) => void }) {
  const base = useId();
  return fields.map((f) => {
    if (f.shown && !f.shown(values)) return null;
    const id = `${base}-${f.name}`;
    const v = values[f.name] ?? '';
    const bad = wrong[f.name];
    const set = (value: string) => onChange(f.name, value);
    const shared = { id, name: f.name, 'aria-invalid': bad ? true : undefined, 'aria-describedby': bad || f.help ? `${id}-help` : undefined } as const;
    const help = (bad || f.help) && (
      <FormHelperText>
        <HelperText id={`${id}-help`} isLiveRegion={!!bad}>
          <HelperTextItem variant={bad ? 'error' : 'default'}>{bad ?? f.help}</HelperTextItem>
        </HelperText>
      </FormHelperText>
    );
    if (f.kind === 'check') {
      return (
        <div key={f.name}>
          <Checkbox {...shared} label={f.label} isChecked={v === 'true'} onChange={(_, on) => set(String(on))} />
          {help}
        </div>
      );
    }
    return (
      <FormGroup key={f.name} label={f.label} isRequired={!f.optional} fieldId={id}>
        {f.kind === 'select' ? (
          <FormSelect {...shared} value={v} onChange={(_, x) => set(x)}>
            {f.options?.map((o) => <FormSelectOption key={o.value} value={o.value} label={o.label} />)}
          </FormSelect>
        ) : f.kind === 'area' ? (
          <TextArea {...shared} value={v} onChange={(_, x) => set(x)} resizeOrientation="vertical" rows={4} validated={bad ? 'error' : 'default'} />
        ) : f.kind === 'entity' ? (
          <EntityField id={id} value={v} onChange={set} namespace={f.namespace} teams={f.teams} describedBy={shared['aria-describedby']} />
        ) : (
          <TextInput
            {...shared}
            type={f.kind ?? 'text'}
            value={v}
            onChange={(_, x) => set(x)}
            validated={bad ? 'error' : 'default'}
            autoComplete={f.autoComplete ?? (f.kind === 'password' ? 'current-password' : 'off')}
            spellCheck={false}
            autoCapitalize="none"
          />
        )}
        {help}
      </FormGroup>
    );
  });
}

/** useForm keeps the values of a form, and sends them once. */
export function useForm(fields: Field[], submit: (values: Values) => Promise<unknown>) {
  const [values, setValues] = useState(() => initialOf(fields));
  const [wrong, setWrong] = useState<Values>({});
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState('');
  const send = (e: FormEvent | undefined, act: (values: Values) => Promise<unknown>) => {
    e?.preventDefault();
    if (busy) return;
    setSaid('');
    const now = faults(fields, values);
    setWrong(now);
    const first = Object.keys(now)[0];
    if (first) {
      const form = e?.currentTarget;
      setTimeout(() => (form?.querySelector<HTMLElement>(`[name="${first}"]`) ?? document.querySelector<HTMLElement>(`form [name="${first}"]`))?.focus(), 0);
      return;
    }
    setBusy(true);
    setError(undefined);
    act(values)
      .catch(setError)
      .finally(() => setBusy(false));
  };
  const onSubmit = (e?: FormEvent) => send(e, submit);
  const onTrial = (run: (values: Values) => Promise<string>) => send(undefined, (v) => run(v).then(setSaid));
  const body = (
    <Fields
      fields={fields}
      values={values}
      wrong={wrong}
      onChange={(name, value) => {
        setValues((v) => ({ ...v, [name]: value }));
        setWrong((w) => {
          const { [name]: _, ...rest } = w;
          return rest;
        });
      }}
    />
  );
  return { values, setValues, error, busy, said, onSubmit, onTrial, body };
}

function FormDialog({ spec, close }: { spec: FormSpec; close: () => void }) {
  const form = useForm(spec.fields, async (v) => {
    await spec.submit(v);
    close();
  });
  return (
    <Modal isOpen onClose={close} variant={spec.wide ? 'medium' : 'small'} aria-labelledby="form-title" elementToFocus={spec.fields.length > 0 ? '.g-dialog input, .g-dialog select, .g-dialog textarea' : undefined}>
      <ModalHeader title={spec.title} labelId="form-title" />
      <ModalBody>
        <Form id="dialog-form" className="g-dialog" onSubmit={form.onSubmit} noValidate>
          {spec.text && <div>{spec.text}</div>}
          {form.body}
          <ProblemAlert error={form.error} />
          {form.said && <Alert isInline variant="success" title={form.said} role="status" />}
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button type="submit" form="dialog-form" variant={spec.danger ? 'danger' : 'primary'} isLoading={form.busy} isDisabled={form.busy}>
          {spec.action}
        </Button>
        {spec.trial && (
          <Button variant="secondary" onClick={() => form.onTrial(spec.trial!.run)} isDisabled={form.busy}>
            {spec.trial.label}
          </Button>
        )}
        <Button variant="link" onClick={close}>
          {t('Cancel')}
        </Button>
      </ModalFooter>
    </Modal>
  );
}

function ConfirmDialog({ spec, close }: { spec: ConfirmSpec; close: () => void }) {
  const typed = spec.typed;
  return (
    <FormDialog
      close={close}
      spec={{
        title: spec.title,
        text: spec.text,
        action: spec.action,
        danger: true,
        fields:
          typed === undefined
            ? []
            : [{ name: 'typed', label: t('Type {name} to confirm', { name: typed }), check: (v) => (v.trim() === typed ? undefined : t('That is not {name}', { name: typed })) }],
        submit: spec.submit,
      }}
    />
  );
}
